"""`lstm-edge inspect` on files, bundles and what is neither."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, one_line
from onnx import helper, numpy_helper
from onnx_corpus import every_attribute, every_type, external, small_model

from toolkit.contract.manifest import MANIFEST


def write(folder: Path, content: bytes, name: str = "m.onnx") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_a_file(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", write(tmp_path, small_model()))
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "m.onnx"
    for line in (
        "  opset           ai.onnx 18; IR version 8",
        "  onnxruntime     1.14 or newer",
        "  inputs          x: float32 [batch, 3]",
        "  outputs         y: float32 [batch, 3]",
        "  symbolic axes   batch",
        "  operators       Relu 1",
        "  metadata        unit = degC",
        "                  name = Prüfstand 7",
        "  warnings        none",
    ):
        assert line in lines


def test_warnings_do_not_change_the_exit_status(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", write(tmp_path, external("weights.bin")))
    assert result.status == 0
    assert "external data: 1 tensors lie in weights.bin, which was not opened" in " ".join(result.out.split())


def test_a_bundle_shows_each_of_its_graphs(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    result = cli("inspect", small_bundle, "--json", tmp_path / "sheet.json")
    assert result.status == 0
    assert [line for line in result.out.splitlines() if line.endswith(".onnx")] == ["windowed.onnx", "streaming.onnx"]
    assert result.out.count("  warnings        none") == 2
    report = json.loads((tmp_path / "sheet.json").read_text())
    assert report["schema"] == "inspection/1"
    windowed, streaming = report["graphs"]
    assert windowed["inputs"][0]["axes"][:2] == ["batch", "sequence"]
    assert [value["name"] for value in streaming["inputs"]] == ["x", "h0", "c0"]
    assert (windowed["minimum_onnxruntime"], windowed["warnings"]) == ("1.14", [])


def test_json_on_standard_output_is_alone_there(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", write(tmp_path, small_model()), "--json", "-")
    assert json.loads(result.out)["graphs"][0]["name"] == "m.onnx"
    assert "operators" in result.err


@pytest.mark.parametrize("content", [every_type(), every_attribute(), external("w" * 200)])
def test_the_sheet_fits_80_columns(cli: Cli, tmp_path: Path, content: bytes) -> None:
    result = cli("inspect", write(tmp_path, content, "m" * 150 + ".onnx"))
    assert result.status == 0
    assert max(map(len, result.out.splitlines())) <= 80


def test_long_and_many_names_fit_too(cli: Cli, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(f"{'v' * 400}{place}", 1, ["n" * 300] * 9) for place in range(80)]
    nodes = [helper.make_node(f"{'O' * 90}{place}", ["x"], ["y"], domain="d" * 200) for place in range(80)]
    result = cli("inspect", write(tmp_path, small_model(nodes, inputs=values)))
    assert max(map(len, result.out.splitlines())) <= 80
    assert " ".join(result.out.split()).count(": float32") == 52  # 51 inputs and the output
    assert "                  and 29 more" in result.out.splitlines()


def test_kinds_of_values_are_told(cli: Cli, tmp_path: Path) -> None:
    out = cli("inspect", write(tmp_path, every_type())).out
    for text in (
        "unknown_rank: int64 of unknown rank\n",
        "scalar: float64 []\n",
        "sparse: sparse_tensor float32 [rows, 4]\n",
        "sequence: sequence tensor\n",
        "axes: float32 [n, 2, ?]\n",
        "untyped: ?\n",
    ):
        assert text in out


def test_names_reach_the_terminal_as_text(cli: Cli, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info("x\x1b[2J\n", 1, ["b\x07"])]
    out = cli("inspect", write(tmp_path, small_model(inputs=values))).out
    assert out.replace("\n", "").isprintable()
    assert "x\\x1b[2J\\n: float32 [b\\x07]" in out


# refusals


def test_no_such_file(cli: Cli, tmp_path: Path) -> None:
    assert "got No such file or directory" in one_line(cli("inspect", tmp_path / "absent.onnx"))


def test_a_folder_that_is_no_bundle(cli: Cli, tmp_path: Path) -> None:
    assert f"is no bundle; got no {MANIFEST}" in one_line(cli("inspect", tmp_path))


def test_a_bundle_with_a_changed_graph(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in small_bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "windowed.onnx").write_bytes(small_model())
    assert "windowed.onnx is not the file that the manifest describes" in one_line(cli("inspect", folder))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["graphs"][1]["inputs"].reverse(),
        lambda manifest: manifest["signal"]["channels"].reverse(),
        lambda manifest: manifest["signal"]["channels"][0].update(unit="K"),
        lambda manifest: manifest.update(opset=17),
    ],
)
def test_a_bundle_that_contradicts_its_graphs(cli: Cli, small_bundle: Path, tmp_path: Path, change) -> None:
    folder = shutil.copytree(small_bundle, tmp_path / "copy")
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert "manifest" in one_line(cli("inspect", folder))


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "a/../../b", "..\\b", "C:\\b", "\\b"])
def test_external_data_outside_the_files_folder(cli: Cli, tmp_path: Path, place: str) -> None:
    message = one_line(cli("inspect", write(tmp_path, external(place))))
    assert "keeps numbers in a file outside its folder; got external data in " in message


@pytest.mark.parametrize("place", ["weights.bin", "sub/weights.bin"])
def test_external_data_behind_a_link(cli: Cli, tmp_path: Path, place: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / place.partition("/")[0]).symlink_to(tmp_path / "elsewhere")
    assert f"external data in {place}, which is a link" in one_line(cli("inspect", write(tmp_path, external(place))))


def test_external_data_within_the_folder_may_lie_deeper(cli: Cli, tmp_path: Path) -> None:
    assert cli("inspect", write(tmp_path, external("./sub/weights.bin"))).status == 0


def test_an_empty_file(cli: Cli, tmp_path: Path) -> None:
    assert "m.onnx is empty" in one_line(cli("inspect", write(tmp_path, b"")))


@pytest.mark.parametrize("content", [b"timestamp,temperature\n", b"PK\x03\x04" + b"\x00" * 40, bytes(range(256))])
def test_what_is_not_onnx(cli: Cli, tmp_path: Path, content: bytes) -> None:
    assert "m.onnx is no ONNX file" in one_line(cli("inspect", write(tmp_path, content)))


def test_a_file_cut_short(cli: Cli, tmp_path: Path) -> None:
    message = one_line(cli("inspect", write(tmp_path, small_model()[:-30])))
    assert "damaged or cut short; got a field of " in message
    assert "fix: copy it or export it again" in message


def test_a_file_above_2_gb_is_refused_by_its_size(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path, b"")
    os.truncate(path, 10 << 30)  # a hole: it takes no room, and reading it would take 10 GB
    assert "too large for ONNX; got 10737418240 bytes; allowed: 2147483647 bytes" in one_line(cli("inspect", path))


def test_a_pipe_is_not_waited_for(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "is no plain file" in one_line(cli("inspect", tmp_path / "pipe.onnx"))


def test_a_report_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    one_line(cli("inspect", write(tmp_path, small_model()), "--json", tmp_path / "absent" / "dir" / "r.json"))


def test_it_works_on_a_gateway(root: Path, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    path = write(tmp_path, small_model(initializers=[weights]))
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'onnx', 'onnxscript', 'polars', 'rich', 'safetensors']))\n"
        "from toolkit.cli.main import main\n"
        "main(['inspect', *sys.argv[1:]])"
    )
    for target in (path, root / "exported" / "pump-station"):
        command = [sys.executable, "-c", script, str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "symbolic axes   batch" in done.stdout
