import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from toolkit.errors import ModelError
from toolkit.export.foreign import load_module, users_code

CODE = """
from torch import nn
import torch

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 1)
    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

def make(): return Net()
def make_with(size): return nn.LSTM(3, size)
def raises(): raise ValueError("no\\nluck")
def nothing(): return 5
def leaves(): raise SystemExit(3)
def lazily(): return nn.Sequential(nn.LazyLinear(3))
def on_meta(): return nn.LSTM(3, 4, device="meta")
def halved(): return Net().half()
def doubled():
    torch.set_default_dtype(torch.float64)
    return Net()
def with_sibling():
    import sibling_of_users
    return sibling_of_users.Net() if hasattr(sibling_of_users, "Net") else Net()
class Extra(nn.Linear):
    def get_extra_state(self): return {"calls": 3}
def extra(): return Extra(3, 4)
constant = 3
ready = Net()
"""

Name = Callable[[str], str]


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Name:
    """A module of this test alone in the working directory."""
    own = f"users_{abs(hash(request.node.name))}"
    (tmp_path / f"{own}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return lambda factory: f"{own}:{factory}"


def test_a_factory_in_the_working_directory_is_found(name: Name) -> None:
    module = load_module(name("make"))
    assert isinstance(module, nn.Module)
    assert not module.training


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_are_loaded(ending: str, name: Name, tmp_path: Path) -> None:
    trained = load_module(name("make"))
    path = tmp_path / f"w.{ending}"
    save = safetensors.torch.save_file if ending == "safetensors" else torch.save
    save(trained.state_dict(), path)
    again = load_module(name("make"), path)
    assert all(
        torch.equal(a, b) for a, b in zip(trained.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("make_with", "needs arguments"),
        ("raises", "ValueError: no luck"),
        ("nothing", "got int"),
        ("maek", "did you mean 'make'"),
        ("constant", "cannot be called; got int; fix: a function without arguments"),
        ("leaves", "the factory raised; got SystemExit: 3"),
        ("lazily", "size of the module's '0.weight' is not known yet"),
        ("extra", "more than tensors, at '_extra_state'"),
        ("", "package.module:factory"),
    ],
)
def test_a_factory_that_gives_no_module_is_refused_in_one_line(factory: str, expected: str, name: Name) -> None:
    with pytest.raises(ModelError, match=expected) as error:
        load_module(name(factory))
    assert "\n" not in str(error.value)


def test_a_module_that_cannot_be_imported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_module.py").write_text("import nowhere_to_be_found\n")
    for reference in ("broken_module:make", "not_there_at_all:make"):
        with pytest.raises(ModelError, match="cannot import"):
            load_module(reference)


def test_weights_that_do_not_fit_name_the_first_key(name: Name, tmp_path: Path) -> None:
    tensors = load_module(name("make")).state_dict()
    path = tmp_path / "w.safetensors"
    cases = {
        "head.weight": {**tensors, "head.weight": torch.zeros(2, 4)},
        "head.bias": {key: tensor for key, tensor in tensors.items() if key != "head.bias"},
        "extra": {**tensors, "extra": torch.zeros(1)},
    }
    for key, given in cases.items():
        safetensors.torch.save_file(given, path)
        with pytest.raises(ModelError, match=f"'{key}'"):
            load_module(name("make"), path)
    safetensors.torch.save_file({**tensors, "head.bias": torch.tensor([float("nan")])}, path)
    with pytest.raises(ModelError, match="NaN"):
        load_module(name("make"), path)


def test_a_pickle_is_never_executed(name: Name, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), tmp_path / "zipped.pt")
    for path in ("plain.pt", "zipped.pt"):
        with pytest.raises(ModelError, match="could run code"):
            load_module(name("make"), tmp_path / path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", b"\x08\0\0\0\0\0\0\0{}"])
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_damaged_weights_are_one_line(content: bytes, ending: str, name: Name, tmp_path: Path) -> None:
    path = tmp_path / f"w.{ending}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        load_module(name("make"), path)
    assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="cannot read"):
        load_module(name("make"), tmp_path / f"none.{ending}")


@pytest.mark.parametrize("factory", ["doubled", "halved"])
def test_a_module_is_in_float32_and_torchs_default_type_as_it_was(factory: str, name: Name) -> None:
    module = load_module(name(factory))
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    assert torch.get_default_dtype() == torch.float32


def test_the_working_directory_is_importable_while_the_factory_runs_and_left_as_it_was(
    name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "sibling_of_users.py").write_text("")
    before, path = set(tmp_path.rglob("*")), list(sys.path)
    load_module(name("with_sibling"))
    assert set(tmp_path.rglob("*")) == before
    assert sys.path == path
    assert not sys.dont_write_bytecode


def test_another_module_of_that_name_is_told_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("def make(): pass")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"json has no factory 'make'; got .*json/__init__.py"):
        load_module("json:make")


def test_weights_fill_a_module_that_has_shapes_alone(name: Name, tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = nn.LSTM(3, 4).state_dict()
    safetensors.torch.save_file(wanted, tmp_path / "w.safetensors")
    module = load_module(name("on_meta"), tmp_path / "w.safetensors")
    assert all(torch.equal(wanted[key], tensor) for key, tensor in module.state_dict().items())
    assert next(load_module(name("on_meta")).parameters()).is_meta


def test_weights_that_are_no_plain_file_or_too_large_are_not_read(name: Name, tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "huge.pt").touch()
    os.truncate(tmp_path / "huge.pt", (1 << 30) + 1)  # sparse
    for path, match in (
        ("folder.pt", "is no plain file"),
        ("huge.pt", "too large; got 1073741825 bytes; allowed: 1073741824 bytes"),
        ("pipe.safetensors", "is no plain file"),
    ):
        with pytest.raises(ModelError, match=match):
            load_module(name("make"), tmp_path / path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"epoch": 3, "model": {}}, "more than a state dict; got int at 'epoch'"),
        ({"weight": torch.eye(3).to_sparse()}, "more than a state dict; got Tensor at 'weight'; allowed: dense"),
        ([torch.zeros(3)], "no state dict; got list"),
        (torch.zeros(3), "no state dict; got Tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: object, match: str, name: Name, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=match):
        load_module(name("make"), tmp_path / "w.pt")


def test_somebodys_code_may_print_and_must_not_end_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with users_code():
        print("said")
    assert capsys.readouterr() == ("", "said\n")
    with pytest.raises(ModelError, match=r"ends the process; got sys.exit\('bye'\)"), users_code():
        sys.exit("bye")


def test_a_module_in_place_of_a_factory_is_copied(name: Name) -> None:
    first, second = load_module(name("ready")), load_module(name("ready"))
    assert isinstance(first, nn.Module)
    assert first is not second
    assert all(a is not b for a, b in zip(first.parameters(), second.parameters(), strict=True))
