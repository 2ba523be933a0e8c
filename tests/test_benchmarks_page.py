"""The tables and plots of the benchmarks' page are what the recorded results say."""

import shutil
import subprocess
import sys
from pathlib import Path


def checked(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, folder / "write_readme.py", "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_says_what_the_results_say(root: Path) -> None:
    found = checked(root / "benchmarks")
    assert (found.returncode, found.stderr) == (0, "")


def test_a_figure_that_was_typed_is_told(root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(root / "benchmarks", tmp_path / "benchmarks"))
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8")
    place = text.index("**", text.index("<!-- runtime-speed -->")) + 2
    page.write_text(text[:place] + "9" + text[place:], encoding="utf-8")
    found = checked(folder)
    assert found.returncode == 1
    assert "python benchmarks/write_readme.py" in found.stderr
