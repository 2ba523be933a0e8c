"""The Python of each page runs, from its first block to its last, where the reference bundle lies."""

import runpy
import shutil
from pathlib import Path

import docs_pages
import pytest

EXAMPLES = docs_pages.examples("python")


@pytest.mark.parametrize("page", sorted({each.page for each in EXAMPLES}))
def test_the_python_of_a_page_runs(page: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(root / "exported" / "pump-station", tmp_path / "exported" / "pump-station")
    script = tmp_path / "example.py"
    script.write_text("\n".join(each.text for each in EXAMPLES if each.page == page), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
