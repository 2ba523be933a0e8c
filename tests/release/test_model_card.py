import dataclasses

import pytest

from toolkit.contract.manifest import Candidate, PrecisionDecision
from toolkit.release.model_card import model_card
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def manifest(whole):
    return load_bundle(whole).manifest


def test_the_card_is_the_bundles_readme(whole, manifest):
    assert model_card(manifest) == (whole / "README.md").read_text()


def test_what_it_forecasts(manifest):
    card = model_card(manifest)
    assert card.startswith("# tiny\n")
    assert "Forecasts `pressure` (Pa), `temperature` for the next 3 samples (3 min) from 2 channels" in card
    assert "windows of 12 samples (12 min)" in card


def test_how_well_beside_the_baselines(manifest):
    card = model_card(manifest)
    assert f"it {manifest.accuracy['verdict']}." in card
    own = manifest.accuracy["test_standardised"]
    assert f"| this model | {own['mse']:.4g} | {own['mae']:.4g} |" in card
    for name, scores in manifest.accuracy["baselines"].items():
        assert f"| {name} | {scores['test_standardised']['mse']:.4g} |" in card


def test_how_it_was_checked(manifest):
    used = f"at most {100 * manifest.parity['used']:.0f} % of what is allowed"
    assert f"{manifest.parity['cases']} cases, 0 failed, {used}, largest difference" in model_card(manifest)


def test_the_channels_stand_in_their_order(manifest):
    lines = model_card(manifest).splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert rows == ["| `temperature` | temperature | value | - |", "| `pressure` | pressure | value | Pa |"]


def test_the_graphs(manifest):
    card = model_card(manifest)
    assert "Opset 18, onnxruntime 1.14 or newer, layout batch-major." in card
    assert "- `windowed.onnx`: windowed, fp32\n- `streaming.onnx`: streaming, fp32\n" in card


@pytest.mark.parametrize(
    ("interval_s", "window", "horizon"),
    [(0.1, "1.2 s", "0.3 s"), (1.0, "12 s", "3 s"), (3600.0, "12 h", "3 h"), (86400.0, "12 d", "3 d")],
)
def test_spans_are_told_in_the_largest_unit_that_fits(manifest, interval_s, window, horizon):
    signal = dataclasses.replace(manifest.signal, interval_s=interval_s)
    card = model_card(dataclasses.replace(manifest, signal=signal))
    assert f"3 samples ({horizon})" in card
    assert f"12 samples ({window})" in card


def test_what_was_measured_is_told_with_how_many_windows(manifest):
    reason = "kept: 2.00 times as fast; a batch of 16 is 1.80 times slower than fp32"
    found = [
        Candidate(name, "int8", 2.0, (1.9, 2.1), 0.0, (), (), 40, kept=True, reason=reason, windows=windows)
        for name, windows in (("windowed", 256), ("streaming", 136))
    ]
    decision = PrecisionDecision("auto", 0.01, 256, tuple(found))
    card = model_card(dataclasses.replace(manifest, precision=decision))
    assert "on 256 held-out windows. 136 of them for the streaming graph, sample by sample.\n" in card
    assert f"- windowed in int8: {reason}\n- streaming in int8: {reason}\n" in card
