import importlib.util
from pathlib import Path

import numpy as np


def test_the_textbook_case_learns_and_is_equal_in_onnxruntime(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("textbook", root / "examples" / "textbook.py")
    assert spec is not None
    assert spec.loader is not None
    textbook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(textbook)

    assert textbook.readings().shape == (5, 2, 6)
    losses, ours, theirs = textbook.main()
    assert len(losses) == 100
    assert losses[-1] < 0.01 * losses[0]
    assert ours.shape == theirs.shape == (2, 1)
    assert np.abs(ours - theirs).max() < 1e-6
