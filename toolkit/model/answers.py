"""The axes of a model's answer, from the sizes that it is asked for by."""

from toolkit.errors import ModelError


def answer_axes(output_size: int | None, horizon: int | None, targets: int | None, classes: int) -> tuple[int, ...]:
    """Axes after `batch`: `(classes,)`, `(horizon, targets)` or `(output_size,)`.

    Raises:
        ModelError: sizes that are missing or contradict each other.
    """
    if classes:
        if (output_size, horizon, targets) != (None, None, None):
            raise ModelError("model: a classifier forecasts nothing", got="a size of its forecast", allowed="classes")
        return (classes,)
    if (horizon is None) != (targets is None):
        raise ModelError("model: horizon and targets go together", got=f"horizon={horizon}, targets={targets}")
    if horizon is None or targets is None:
        if output_size is None:
            raise ModelError("model: the size of the output is missing", fix="give output_size, or horizon and targets")
        return (output_size,)
    if output_size not in (None, horizon * targets):
        raise ModelError("model: output_size", got=output_size, allowed=f"horizon x targets = {horizon * targets}")
    return (horizon, targets)
