"""`lstm-edge gateway init`."""

import json
import os
import shutil
from pathlib import Path

import onnx
import pytest
import tiny_bundles
from command_line import Cli, one_line

from toolkit import atomic_files
from toolkit.contract.manifest import MANIFEST
from toolkit.contract.signals import SignalSpec
from toolkit.edge.service_templates import hidden_by_unit
from toolkit.edge.settings_file import check_against, load_settings
from toolkit.runtime.bundle import load_bundle

COMMAND = ("--command", "/opt/lstm-edge/bin/lstm-edge")
MEANING = ("lstm_edge.signal", "lstm_edge.model")
NAMES = {"gateway.toml", "lstm-edge-gateway.service", "mosquitto.conf"}


@pytest.fixture
def bundle(root: Path) -> Path:
    return root / "exported" / "pump-station"


def signal_of(bundle: Path) -> SignalSpec:
    signal = load_bundle(bundle).manifest.signal
    assert signal is not None
    return signal


def changed(bundle: Path, folder: Path, **signal: object) -> Path:
    """A copy of the bundle whose signal says something else; without any where nothing is given."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    whole = manifest["signal"] | signal

    def edit(proto: onnx.ModelProto) -> None:
        kept = {entry.key: entry.value for entry in proto.metadata_props if signal or entry.key not in MEANING}
        onnx.helper.set_model_props(proto, kept | ({"lstm_edge.signal": json.dumps(whole)} if signal else {}))

    for graph in ("windowed", "streaming"):
        tiny_bundles.damage_graph(folder, graph, edit)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest |= {"signal": whole} if signal else {"signal": None, "model": None}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_the_files_fit_the_bundle(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "etc"
    result = cli("gateway", "init", bundle, "--out", out, *COMMAND)
    assert (result.status, result.err) == (0, "")
    assert {path.name for path in out.iterdir()} == NAMES
    settings = load_settings(out / "gateway.toml")
    assert (settings.bundle, settings.journal.folder) == (str(bundle), "")
    check_against(settings, signal_of(bundle))
    unit = (out / "lstm-edge-gateway.service").read_text()
    assert f"ExecStart=/opt/lstm-edge/bin/lstm-edge gateway run {out}/gateway.toml\n" in unit
    for line in (f"Written: {out}/gateway.toml", "Columns: 9, from plant/{asset}", f"gateway check {bundle}"):
        assert line in result.out


def test_a_bundle_of_raw_samples_gets_an_input_for_each_variable(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    folder = changed(bundle, tmp_path / "bundle", sampling="samples")
    result = cli("gateway", "init", folder, "--out", tmp_path / "etc", *COMMAND)
    assert result.status == 0, result.err
    assert "Columns: 3, from plant/{asset}/temperature, plant/{asset}/pressure, plant/{asset}/vibration" in result.out
    settings = load_settings(tmp_path / "etc" / "gateway.toml")
    check_against(settings, signal_of(folder))
    assert len(settings.inputs) == 3


def test_the_path_of_the_bundle_is_absolute(
    cli: Cli, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = os.path.relpath(bundle)
    assert cli("gateway", "init", relative, *COMMAND).status == 0
    assert load_settings(tmp_path / "gateway.toml").bundle == str(bundle)
    assert f'bundle = "{bundle}"\n' in (tmp_path / "gateway.toml").read_text()


def test_the_report_says_what_the_table_says(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    result = cli("gateway", "init", bundle, "--out", tmp_path / "etc", *COMMAND, "--json", "-")
    report = json.loads(result.out)
    assert report["schema"] == "gateway-init/1"
    assert report["bundle_folder"] == str(bundle)
    assert {Path(file).name for file in report["files"]} == NAMES
    assert list(report["columns"]) == ["plant/{asset}"]
    for told in (*report["files"], *report["commands"], *report["warnings"]):
        assert told in result.err


def test_a_gateway_can_be_tried_without_a_service(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    result = cli("gateway", "init", bundle, "--out", tmp_path / "etc", "--no-service")
    assert result.status == 0, result.err
    assert {path.name for path in (tmp_path / "etc").iterdir()} == NAMES - {"lstm-edge-gateway.service"}
    assert f"lstm-edge gateway run {tmp_path}/etc/gateway.toml" in result.out
    assert load_settings(tmp_path / "etc" / "gateway.toml").journal.folder == f"{tmp_path}/etc/state"
    assert "Warning" not in result.out


def test_what_the_service_will_not_see_is_told(cli: Cli, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "make_folder", lambda folder: None)
    monkeypatch.setattr(atomic_files, "check_file_place", lambda place: None)
    monkeypatch.setattr(atomic_files, "write_text", lambda place, text: None)
    result = cli("gateway", "init", bundle, "--out", "/home/me/config", *COMMAND)
    assert "Warning: the service cannot see /home/me/config/gateway.toml, because it hides /home" in result.out
    warned = "".join(line for line in result.out.splitlines() if line.startswith("Warning"))
    assert (str(bundle) in warned) == bool(hidden_by_unit(bundle))  # this clone may itself lie where it is hidden


# refusals


def test_nothing_is_overwritten_unasked(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mosquitto.conf").write_text("mine\n")
    arguments = ("gateway", "init", bundle, "--out", tmp_path, *COMMAND)
    assert f"the file {tmp_path}/mosquitto.conf exists already" in one_line(cli(*arguments))
    assert {path.name for path in tmp_path.iterdir()} == {"mosquitto.conf"}
    assert (tmp_path / "mosquitto.conf").read_text() == "mine\n"
    assert cli(*arguments, "--overwrite").status == 0
    assert (tmp_path / "mosquitto.conf").read_text() != "mine\n"


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    cli: Cli, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = atomic_files.write_text

    def full(path: Path, content: str) -> None:
        if path.name == "mosquitto.conf":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(atomic_files, "write_text", full)
    assert "No space left on device" in one_line(cli("gateway", "init", bundle, "--out", tmp_path, *COMMAND))
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_a_signal_is_refused(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    folder = changed(bundle, tmp_path / "bundle")
    message = one_line(cli("gateway", "init", folder, "--out", tmp_path / "etc", *COMMAND))
    assert "no gateway can feed the bundle pump-station; got no signal in its manifest" in message
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("command", ["/home/me/venv/bin/lstm-edge", "/root/venv/bin/lstm-edge", "lstm-edge"])
def test_a_command_that_the_service_cannot_run_is_refused(cli: Cli, bundle: Path, tmp_path: Path, command: str) -> None:
    message = one_line(cli("gateway", "init", bundle, "--out", tmp_path / "etc", "--command", command))
    assert "the command of the service" in message
    assert not (tmp_path / "etc").exists()


def test_files_within_the_bundle_would_spoil_it(
    cli: Cli, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    monkeypatch.chdir(folder)
    assert "lies within the bundle" in one_line(cli("gateway", "init", ".", *COMMAND))
    assert "lies within the bundle" in one_line(cli("gateway", "init", folder, "--out", folder / "etc", *COMMAND))
    load_bundle(folder)


def test_no_bundle_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert "there is no bundle" in one_line(cli("gateway", "init", tmp_path / "absent", *COMMAND))


def test_a_file_in_place_of_the_folder_is_one_line(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").touch()
    result = cli("gateway", "init", bundle, "--out", tmp_path / "etc", *COMMAND)
    assert f"cannot write {tmp_path}/etc" in one_line(result)
