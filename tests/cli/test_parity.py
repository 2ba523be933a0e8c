"""`lstm-edge parity`: a bundle, or anybody's file; the tables; what is refused."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from command_line import Cli, one_line

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def make():
    return Net()
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module, its weights, and a file that the toolkit exported from it; no test writes into it."""
    from toolkit.export.foreign import load_module
    from toolkit.export.foreign_graph import foreign_graph
    from toolkit.export.graphs import export_torch_graph
    from toolkit.export.input_spec import parse_tensor

    folder = tmp_path_factory.mktemp("desk")
    (folder / "desk_nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        module = load_module("desk_nets:make")
    torch.save(module.state_dict(), folder / "net.pt")
    graph = foreign_graph(module, [parse_tensor("x: float32[batch, sequence, 4]")])
    (folder / "net.onnx").write_bytes(export_torch_graph(graph).SerializeToString())
    return folder


@pytest.fixture
def desk(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working directory, to be changed."""
    for name in ("desk_nets.py", "net.pt", "net.onnx"):
        shutil.copyfile(exported / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILE = ("parity", "--onnx", "net.onnx", "--module", "desk_nets:make", "--quick", "--window", "9")


def test_a_file_and_its_module(desk: Path, cli: Cli) -> None:
    result = cli(*FILE, "--weights", "net.pt", "--json", "report.json")
    assert result.status == 0, result.err
    assert "Weights of the windowed graph: 6 of 6 tensors are the module's to the bit" in result.out
    assert "windowed: of tolerance" in result.out
    assert "Parity: 28 cases, passed" in result.out
    report = json.loads((desk / "report.json").read_text())
    assert report["passed"] is True
    assert {case["sequence"] for case in report["cases"]} == {1, 3, 5, 10}


def test_sizes_and_tolerances_of_ones_own(desk: Path, cli: Cli) -> None:
    result = cli(*FILE, "--batch", "2", "--sequence", "4", "--sequence", "33", "--json", "-")
    cases = json.loads(result.out)["cases"]
    assert {(case["batch"], case["sequence"]) for case in cases if case["pool"] == "normal"} == {(2, 4), (2, 33)}
    assert cli(*FILE, "--atol", "1e-6", "--rtol", "1e-6").status == 0
    message = one_line(cli(*FILE, "--atol", "1e-12"), status=1)
    assert "where 1e-12 are allowed" in message
    assert "standard deviations" not in message


def test_a_weight_that_differs_where_no_answer_shows_it(desk: Path, cli: Cli) -> None:
    weights = torch.load(desk / "net.pt", weights_only=True)
    weights["head.bias"][1] = torch.nextafter(weights["head.bias"][1], torch.tensor(9.0))
    torch.save(weights, desk / "net.pt")
    message = one_line(cli(*FILE, "--weights", "net.pt"), status=1)
    assert "1 of 2 numbers of head.bias are not the module's in the windowed graph" in message
    assert "the worst at [1]" in message
    assert "no answer in the grid shows it" in message


def test_a_bundle_in_full(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    result = cli("parity", small_bundle, "--json", tmp_path / "report.json")
    assert result.status == 0, result.err
    for text in ("windowed: error on data", "stream, steps 8000-9999", "worst step ahead: ", "Golden answers: equal"):
        assert text in result.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert {(case["threads"], case["optimisation"]) for case in report["cases"]} == {
        (1, "all"), (2, "all"), (1, "basic"), (1, "none"),
    }  # fmt: skip
    assert [profile["graph"] for profile in report["profiles"]] == ["windowed", "streaming"]
    points = report["profiles"][0]["by_target"]
    assert all(point["ort_error"] < 1e-4 for point in points)


def test_the_picture_is_whole_and_says_what_the_table_says(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    assert cli("parity", small_bundle, "--picture", tmp_path / "parity.svg").status == 0
    root = ElementTree.fromstring((tmp_path / "parity.svg").read_text())
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    for words in ("windowed: by target", "streaming: by place in the sequence", "streaming: by step of a long stream"):
        assert words in texts
    assert any(text.startswith("Parity passed: ") for text in texts)
    assert "sequence 1" in texts
    quick = cli("parity", small_bundle, "--quick", "--picture", tmp_path / "quick.svg")
    assert quick.status == 0
    message = one_line(cli("parity", small_bundle, "--quick", "--picture", tmp_path / "no" / "parity.svg"))
    assert "cannot write" in message


REFUSED = {
    "neither": (("parity",), "what is to be compared; got neither"),
    "both": (("parity", "here", *FILE[1:]), "what is to be compared; got both"),
    "no module": (("parity", "--onnx", "net.onnx"), "--onnx needs --module"),
    "no file": ((*FILE[:2], "none.onnx", *FILE[3:]), "cannot read none.onnx"),
    "no ONNX file": ((*FILE[:2], "net.pt", *FILE[3:]), "net.pt is no ONNX file"),
    "a negative tolerance": ((*FILE, "--atol", "-1"), "--atol; got -1.0; allowed: 0 or more"),
    "no tolerance": ((*FILE, "--rtol", "nan"), "--rtol; got nan"),
    "an empty batch": ((*FILE, "--batch", "0"), "--batch; got 0; allowed: 1 to 100000"),
    "a window of nothing": ((*FILE, "--window", "0"), "--window; got 0"),
    "a state that is not there": (
        (*FILE, "--state", "h0=hn"),
        "--state; got 'h0=hn'; allowed: each of the inputs x once",
    ),
    "another input": (
        (*FILE, "--input", "z: float32[batch, sequence, 4]"),
        "--input; got z; allowed: those of net.onnx",
    ),
    "a size of a fixed axis": (
        (*FILE, "--input", "x: float32[batch, 30, 4]", "--sequence", "12"),
        "--sequence; got 12; allowed: none: net.onnx has fixed that axis",
    ),
    "a file's option for a bundle": (("parity", "here", "--window", "9"), "--window goes with --onnx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, desk: Path, cli: Cli) -> None:
    arguments, message = REFUSED[name]
    assert message in one_line(cli(*arguments))
