import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from toolkit.errors import ModelError
from toolkit.export.foreign import load_module

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
constant = 3
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
        ("constant", "has no factory"),
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
