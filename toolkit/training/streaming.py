"""A streaming model is trained as it is run: the state carried on, a loss at every step.

Truncated back-propagation through time (Williams and Peng, 1990): a chunk of one window's length is learnt from, and
the state after it, without its past, begins the chunk that follows. Some chunks begin without a state, as the windowed
graph always does, so that one model serves both graphs.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.objectives import LOSSES, Objective, standardised
from toolkit.training.quantiles import pinball

CARRIED_CHUNKS = 8
"""How many chunks a series is followed for before another takes its place."""
SERIES_AT_ONCE = 64


class StreamObjective(Objective):
    """The error of a forecast after every sample, in standard deviations of the targets.

    A batch is `[series, 2]`: the row where each series' chunk begins, and whether it begins without a state.

    Args:
        model: one that has a streaming graph; trained in place.
        dataset: where the series come from.
        loss: a key of `LOSSES`; a model with quantiles has the pinball loss.
    """

    def __init__(self, model: MultivariateLSTM, dataset: ForecastDataset, loss: str) -> None:
        super().__init__(model, dataset)
        self.loss = loss
        self.usable = chunk_begins(dataset)
        self.state: tuple[Tensor, ...] = ()

    def batches(self, generator: torch.Generator, batch_size: int) -> Sequence[Tensor]:
        """As many as there would be of windows. A series is followed for `CARRIED_CHUNKS`, or to its end."""
        windows = self.dataset.starts["train"].cpu()
        steps, series = -(-len(windows) // batch_size), min(batch_size, len(windows))
        rows, batches = _drawn(windows, series, generator), []
        age = torch.arange(series) % CARRIED_CHUNKS  # staggered: they are not to begin all at once
        begins = torch.ones(series, dtype=torch.int64)
        for _ in range(steps):
            batches.append(torch.stack((rows, begins), dim=1).to(self.dataset.rows.device))
            rows, age = rows + self.dataset.window_length, age + 1
            over = (age >= CARRIED_CHUNKS) | ~self.usable[rows]
            rows = torch.where(over, _drawn(windows, series, generator), rows)
            age, begins = torch.where(over, 0, age), over.long()
        return batches

    def forward(self, batch: Tensor) -> Tensor:
        """Over every step of the chunks that begin at these rows."""
        data, length = self.dataset, self.dataset.window_length
        rows, begins = batch[:, 0], batch[:, 1]
        steps, ahead = (torch.arange(count, device=rows.device) for count in (length, data.horizon))
        x = data.rows[rows[:, None] + steps]
        answer, *state = self.model.stream_answers(x, *self._state(begins))
        self.state = tuple(each.detach() for each in state)
        truth = data.rows[rows[:, None, None] + steps[:, None] + 1 + ahead][
            ..., data.target_indices
        ]  # [series, length, horizon, targets]
        return _loss(self.model, self.loss, answer, truth)

    def validation(self) -> float:
        """Over the forecasts of the validation windows, made by a state that came a long way."""
        return stream_loss(self.model, self.dataset, "validation", self.loss)

    def _state(self, begins: Tensor) -> tuple[Tensor, ...]:
        """The state after the chunk before, nothing for a series that begins."""
        if len(self.state) == 0 or self.state[0].shape[1] != len(begins) or bool(begins.all()):
            return self.model.zero_state(len(begins))
        kept = (1 - begins).to(self.state[0].dtype)[None, :, None]
        return tuple(each * kept for each in self.state)


def chunk_begins(dataset: ForecastDataset) -> Tensor:
    """Whether a window may begin at a row of the training part, whatever the stride: bool `[rows + window_length]`."""
    length = dataset.window_length + dataset.horizon
    segments, train = dataset.segments.cpu(), dataset.train_rows.cpu()
    usable = torch.zeros(len(segments) + dataset.window_length, dtype=torch.bool)
    last = len(segments) - length + 1
    usable[:last] = (segments[:last] == segments[length - 1 :]) & train[:last] & train[length - 1 :]
    return usable


def stream_loss(model: MultivariateLSTM, dataset: ForecastDataset, part: str, kind: str) -> float:
    """Mean loss in standard deviations of the forecasts at the ends of a part's windows, the state carried."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for answer, y in stream_forecasts(model, dataset, part):
            total += float(_loss(model, kind, answer, y)) * len(y)
            count += len(y)
    return total / count


def stream_forecasts(model: MultivariateLSTM, dataset: ForecastDataset, part: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Forecasts after the last sample of every window of a part, by a state that was carried through the series.

    The state begins `CARRIED_CHUNKS` windows before the series' first window, or where the series does.

    Yields:
        Forecasts in standard deviations and raw truth, each `[windows, horizon, targets]`.
    """
    model.eval()
    length = dataset.window_length
    begins, counts, starts = _series(dataset, part)
    for chosen in torch.split(torch.argsort(counts), SERIES_AT_ONCE):
        begin, own = begins[chosen], [starts[int(number)] for number in chosen]
        steps = max(int(windows[-1]) - int(row) for row, windows in zip(begin, own, strict=True)) + length
        place = (begin[:, None] + torch.arange(steps)).clamp(max=len(dataset.rows) - 1)  # past a series' end: not read
        answers = model.stream_answers(dataset.rows[place.to(dataset.rows.device)], *model.zero_state(len(chosen)))[
            0
        ]  # [series, steps, horizon, targets]
        for number, (row, windows) in enumerate(zip(begin, own, strict=True)):
            ends = (windows + length - 1 - row).to(answers.device)
            yield answers[number, ends], dataset.gather(windows.to(answers.device))[1]


def _loss(model: MultivariateLSTM, kind: str, answer: Tensor, truth: Tensor) -> Tensor:
    """Mean loss of answers in standard deviations, quantiles where the model has any, against raw truth."""
    wanted = standardised(model, truth)
    if model.quantiles:
        return pinball(answer, wanted, answer.new_tensor(model.quantiles)).mean()
    return LOSSES[kind](answer, wanted)


def _series(dataset: ForecastDataset, part: str) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Of each unbroken series with a window: where its state begins, the number of its windows, and these."""
    starts, segments = dataset.starts[part].cpu(), dataset.segments.cpu()
    _, counts = torch.unique_consecutive(segments[starts], return_counts=True)
    own = list(torch.split(starts, counts.tolist()))
    first = torch.stack([windows[0] for windows in own])
    series_begin = torch.searchsorted(segments, segments[first])
    return torch.maximum(series_begin, first - CARRIED_CHUNKS * dataset.window_length), counts, own


def _drawn(windows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """First rows of windows, drawn at random."""
    return windows[torch.randint(len(windows), (count,), generator=generator)]
