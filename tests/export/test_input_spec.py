import pytest

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import ConfigError
from toolkit.export.input_spec import parse_states, parse_tensor


def test_a_tensor_is_read_with_names_and_sizes() -> None:
    assert parse_tensor("x: float32[batch, sequence, 9]") == TensorSpec("x", ("batch", "sequence", 9))
    assert parse_tensor(" h0:float32[ 2,batch,64 ] ") == TensorSpec("h0", (2, "batch", 64))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x: float32",
        "x: float32[]",
        "x: float32[batch,,9]",
        "x: float32[0]",
        "x: float32[-1]",
        "x: float32[a b]",
        "x: int64[batch]",
        "x: float64[batch]",
        "2x: float32[batch]",
        "x: float32[batch] y",
        "x float32[batch]",
    ],
)
def test_what_is_no_tensor_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="--input") as error:
        parse_tensor(text)
    assert "\n" not in str(error.value)


def test_states_are_pairs_of_an_input_and_an_output() -> None:
    inputs = [parse_tensor("x: float32[batch, 3]"), parse_tensor("h0: float32[1, batch, 4]")]
    assert parse_states(["h0=hn"], inputs) == {"h0": "hn"}
    assert parse_states([], inputs) == {}


@pytest.mark.parametrize("texts", [["h0"], ["h0="], ["=hn"], ["h1=hn"], ["h0=hn", "h0=hm"], ["h0=h n"]])
def test_a_state_that_is_no_pair_is_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="--state"):
        parse_states(texts, [parse_tensor("h0: float32[1, batch, 4]")])


@pytest.mark.parametrize("text", ["k: float32[]", "k: float32[ ]"])
def test_a_single_number_is_told_how_to_go_in(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--input k: no axis; .*float32\[1\]\", and k\[0\] in the module"):
        parse_tensor(text)
