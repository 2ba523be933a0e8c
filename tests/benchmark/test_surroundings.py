import pytest

from toolkit.benchmark import surroundings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": f"{COMMIT}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": f"{COMMIT}\n"},
        {
            ".git/HEAD": "ref: refs/heads/main\n",
            ".git/packed-refs": f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n",
        },
        {
            ".git": "gitdir: ../main/.git/worktrees/here\n",
            "../main/.git/worktrees/here/HEAD": "ref: refs/heads/side\n",
            "../main/.git/worktrees/here/commondir": "../..\n",
            "../main/.git/refs/heads/side": f"{COMMIT}\n",
        },
    ],
    ids=["detached", "branch", "packed", "worktree"],
)
def test_the_commit_is_read_from_gits_own_files(tmp_path, files):
    (tmp_path / "here").mkdir()
    git(tmp_path / "here", files)
    assert surroundings.commit(tmp_path / "here") == COMMIT


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".git/config": ""},
        {".git/HEAD": "ref: refs/heads/unborn\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": ""},
        {".git/HEAD": "not a commit\n"},
        {".git": "gitdir: nowhere\n"},
        {".git/HEAD": "ref: \0\n"},
    ],
)
def test_no_checkout_is_no_commit_and_no_error(tmp_path, files):
    git(tmp_path, files)
    assert surroundings.commit(tmp_path) is None


def test_a_system_without_a_load_average(monkeypatch):
    def none():
        raise OSError

    monkeypatch.setattr(surroundings.os, "getloadavg", none)
    assert surroundings.load_average() == []
