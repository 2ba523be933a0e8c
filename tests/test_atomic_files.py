import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from toolkit import atomic_files
from toolkit.errors import OutputError


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill(folder, word):
    (folder / "inner").mkdir()
    (folder / "first.txt").write_text(word)
    (folder / "inner" / "second.txt").write_text(word)


def make(place, error=None, *, overwrite=False, meanwhile=lambda: None):
    """Fills a new folder; `error` strikes at the end of that."""
    with atomic_files.new_folder(place, overwrite=overwrite) as partial:
        fill(partial, "new")
        meanwhile()
        if error is not None:
            raise error


def whole(word):
    return {"first.txt": word, "inner/second.txt": word}


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "bundle"
    with atomic_files.new_folder(folder) as partial:
        fill(partial, "old")
    return folder


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "report.json"
    atomic_files.write_text(path, "old, and longer")
    atomic_files.write_text(path, "né")
    assert path.read_bytes() == "né".encode()
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, error, step):
    def fail(*_):
        raise error

    path = tmp_path / "report.json"
    path.write_text("old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        atomic_files.write_bytes(path, b"new")
    assert tree(tmp_path) == {"report.json": "old"}


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        atomic_files.write_bytes(tmp_path / "missing" / "report.json", b"new")


@pytest.mark.parametrize("place", [".", "/", ""])
def test_a_file_without_a_name_is_refused(place):
    with pytest.raises(OutputError, match="cannot write"):
        atomic_files.write_bytes(Path(place), b"new")


def test_a_folder_appears_when_the_block_ends(tmp_path):
    place = tmp_path / "deep" / "bundle"
    with atomic_files.new_folder(place) as partial:
        fill(partial, "new")
        assert not place.exists()
    assert tree(tmp_path / "deep") == {f"bundle/{name}": word for name, word in whole("new").items()}


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_block_that_fails_leaves_what_was_there(old, error, overwrite):
    place = old if overwrite else old.with_name("other")
    with pytest.raises(type(error)):
        make(place, error, overwrite=overwrite)
    assert os.listdir(old.parent) == ["bundle"]
    assert tree(old) == whole("old")


def test_a_full_disk_while_filling_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="No space left"):
        make(tmp_path / "bundle", OSError(errno.ENOSPC, "No space left on device"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "fallback"])
def test_a_folder_takes_the_place_of_the_old_one(old, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(atomic_files, "_exchange", lambda first, second: False)
    with atomic_files.new_folder(old, overwrite=True) as partial:
        fill(partial, "new")
        (partial / "third.txt").write_text("new")
        assert tree(old) == whole("old")
    assert tree(old) == {**whole("new"), "third.txt": "new"}
    assert os.listdir(old.parent) == ["bundle"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one call")
def test_linux_exchanges_in_one_call(old, monkeypatch):
    def no_rename(*_):
        pytest.fail("a rename leaves a moment without a folder")

    with atomic_files.new_folder(old, overwrite=True) as partial:
        fill(partial, "new")
        monkeypatch.setattr(Path, "rename", no_rename)
    assert tree(old) == whole("new")


def test_the_fallback_puts_the_old_folder_back_when_the_new_one_cannot_be_moved(old, monkeypatch):
    renamed = []

    def fail_second(path, target):
        renamed.append(path)
        if len(renamed) == 2:
            raise OSError(errno.EIO, "Input/output error")
        os.rename(path, target)

    monkeypatch.setattr(atomic_files, "_exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", fail_second)
    with pytest.raises(OutputError), atomic_files.new_folder(old, overwrite=True) as partial:
        fill(partial, "new")
    assert tree(old) == whole("old")
    assert os.listdir(old.parent) == ["bundle"]


KILLED = """
    import os, shutil, signal, sys
    from pathlib import Path
    from toolkit import atomic_files

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    place, moment = Path(sys.argv[1]), sys.argv[2]
    with atomic_files.new_folder(place, overwrite=True) as partial:
        (partial / "inner").mkdir()
        (partial / "first.txt").write_text("new")
        if moment == "body":
            die()
        (partial / "inner" / "second.txt").write_text("new")
        if moment == "sync":
            os.fsync = die
        if moment == "removal of the old one":
            shutil.rmtree = die
"""


@pytest.mark.parametrize(("moment", "word"), [("body", "old"), ("sync", "old"), ("removal of the old one", "new")])
def test_a_killed_process_leaves_a_whole_folder(old, moment, word):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(old), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert tree(old) == whole(word)


def test_an_existing_folder_is_refused_before_any_work(old):
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"), atomic_files.new_folder(old):
        pytest.fail("the block ran")
    assert tree(old) == whole("old")


def test_a_folder_that_appears_meanwhile_is_not_overwritten(tmp_path):
    place = tmp_path / "bundle"

    def meanwhile():
        place.mkdir()
        (place / "first.txt").write_text("another's")

    with pytest.raises(OutputError, match="exists already"):
        make(place, meanwhile=meanwhile)
    assert tree(tmp_path) == {"bundle/first.txt": "another's"}


def below_a_file(folder):
    (folder / "file").write_text("")
    return folder / "file" / "bundle"


def a_file(folder):
    return below_a_file(folder).parent


def a_link(folder):
    (folder / "link").symlink_to(folder)
    return folder / "link"


def where_we_are(folder):
    os.chdir(folder)
    return Path()


REFUSED = [
    below_a_file,
    a_file,
    a_link,
    where_we_are,
    lambda folder: Path("/proc/bundle"),
    lambda folder: Path("/"),
    lambda folder: folder / ("n" * 300),
]


@pytest.mark.parametrize("place", REFUSED)
def test_a_place_where_no_folder_can_stand_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    folder = place(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(OutputError, match="cannot write"), atomic_files.new_folder(folder, overwrite=True):
        pytest.fail("the block ran")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_read_only_folder_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OutputError, match="which cannot be written"):
        atomic_files.check_free(tmp_path / "bundle", overwrite=False)


# folders that may be overwritten


def own_folder(folder, marker="manifest.json", schema="bundle/2"):
    """A folder as the toolkit leaves it: a marker that lists the only other file."""
    folder.mkdir()
    (folder / "windowed.onnx").write_text("old")
    (folder / marker).write_text(json.dumps({"schema": schema, "files": {"windowed.onnx": {}}}))
    return folder


def overwrite(folder, marker="manifest.json", meanwhile=lambda: None):
    with atomic_files.new_folder(folder, overwrite=True, marker=marker) as partial:
        (partial / "first.txt").write_text("new")
        meanwhile()


@pytest.mark.parametrize(
    ("marker", "schema"), [("manifest.json", "bundle/2"), ("manifest.json", "bundle/1"), ("run.json", "run/1")]
)
def test_what_the_toolkit_wrote_is_overwritten(tmp_path, marker, schema):
    folder = own_folder(tmp_path / "bundle", marker, schema)
    overwrite(folder, marker)
    assert tree(folder) == {"first.txt": "new"}


def test_an_empty_folder_is_overwritten(tmp_path):
    (tmp_path / "bundle").mkdir()
    overwrite(tmp_path / "bundle")
    assert tree(tmp_path / "bundle") == {"first.txt": "new"}


MARKERS = [
    "",
    "[]",
    "hello",
    '{"name": "my web app"}',
    '{"schema": 3, "files": {}}',
    '{"schema": "run/1", "files": {}}',
]


@pytest.mark.parametrize(
    "text", [*MARKERS, '{"schema": "bundle/2"}', '{"schema": "bundle/2", "files": []}', "[" * 100_000]
)
def test_a_folder_of_somebody_elses_manifest_is_not_overwritten(tmp_path, text):
    folder = own_folder(tmp_path / "bundle")
    (folder / "manifest.json").write_text(text)
    before = tree(folder)
    with pytest.raises(OutputError, match=r"not overwritten; got a manifest\.json that is not the toolkit's"):
        overwrite(folder)
    assert tree(folder) == before


def add_notes(folder):
    (folder / "notes.txt").write_text("mine")


def add_folder(folder):
    (folder / "windowed.onnx").unlink()
    (folder / "windowed.onnx").mkdir()


def add_link(folder):
    (folder / "windowed.onnx").unlink()
    (folder / "windowed.onnx").symlink_to(folder / "manifest.json")


@pytest.mark.parametrize(
    ("add", "name"), [(add_notes, "notes.txt"), (add_folder, "windowed.onnx"), (add_link, "windowed.onnx")]
)
def test_what_the_manifest_does_not_list_is_not_lost(tmp_path, add, name):
    folder = own_folder(tmp_path / "bundle")
    add(folder)
    with pytest.raises(OutputError, match=rf"got {name}, which its manifest\.json does not list; fix: move that"):
        atomic_files.check_free(folder, overwrite=True, marker="manifest.json")
    assert (folder / name).exists()


def test_what_was_put_there_meanwhile_is_not_lost(tmp_path):
    folder = own_folder(tmp_path / "bundle")
    with pytest.raises(OutputError, match=r"got notes\.txt"):
        overwrite(folder, meanwhile=lambda: add_notes(folder))
    assert (folder / "notes.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_device_stays_one(tmp_path):
    link = tmp_path / "sink"
    link.symlink_to("/dev/null")
    atomic_files.check_file_place(link)
    atomic_files.write_bytes(link, b"into nothing")
    assert link.is_symlink()
    assert not link.is_file()


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    atomic_files.write_text(pipe, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_pipe_that_nobody_reads_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe"):
        atomic_files.write_text(tmp_path / "pipe", "text")
