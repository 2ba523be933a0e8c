"""The Triton Inference Server's `config.pbtxt` for a graph, in protobuf's text format.

What the server checks on load decides what is written here (its core and its onnxruntime backend, as of 2026):

- Inputs and outputs are all listed. Otherwise the server completes the configuration itself, and takes
  `max_batch_size: 0` for "not given" wherever every first axis is symbolic.
- An input may be narrower than the graph's, an output must be `-1` where the graph's is symbolic.
- The states stand under `sequence_batching` alone: under `input` as well they would be counted twice and refused.
- Control inputs (START, READY, END, CORRID) are optional, and no graph of ours has one. Without `initial_state` the
  first request of a sequence would then meet an uninitialised state.
- Requests and states are joined along the first axis or not at all. A state `[num_layers, batch, state_size]` cannot
  be joined, so that its sequences run one by one, whole dims without a batch size. The strategy is `oldest` because
  `direct` has as many slots as `max_batch_size`, at least one: with it, a single sequence could be open at a time.
"""

from collections.abc import Iterable, Iterator

from toolkit.contract.graph_io import BATCH, Axis, GraphSignature, TensorSpec
from toolkit.errors import ModelError, RequestError

MAX_BATCH = 32
"""Series in one run: throughput on CPUs was best in chunks of 16 to 32 windows."""

PREFERRED_BATCH = 16
"""Requests that need not wait for more, the lower end of those chunks."""

QUEUE_DELAY_US = 200
"""How long a request waits for others, about the time of two windows of 60 samples."""

IDLE_S = 3600
"""How long a state outlives its last request. The server's own second is shorter than most sampling intervals."""

MAX_SEQUENCES = 1024
"""Sequences that may be open at a time; more wait until one ends."""

_FP32 = "TYPE_FP32"


def triton_config(
    name: str,
    tensors: GraphSignature,
    *,
    file: str,
    max_batch: int = MAX_BATCH,
    one_series: bool = False,
    mixes_series: bool = False,
    idle_s: int = IDLE_S,
    max_sequences: int = MAX_SEQUENCES,
) -> str:
    """The text of `config.pbtxt` for one graph.

    Args:
        name: of the model, which is the name of its folder in the server's model repository.
        tensors: what the graph takes and gives.
        file: of the graph, within the version's folder.
        max_batch: the most series in one run, where the server may join requests: the axis `batch` is the first one of
            every tensor. Other graphs get `max_batch_size: 0`, whatever stands here.
        one_series: whether the graph must see one series at a time, as a quantised one must.
        mixes_series: whether the answer for one series depends on the others in its call: strangers' requests must not
            be joined then.
        idle_s: seconds after which the state of a silent sequence is dropped.
        max_sequences: open sequences of a graph with states.

    Raises:
        RequestError: a count or a time below one.
        ModelError: the server cannot run this graph, or would run it wrongly.
    """
    for what, value in (("max_batch", max_batch), ("idle_s", idle_s), ("max_sequences", max_sequences)):
        if value < 1:
            raise RequestError(f"{what} is too small", got=value, allowed="1 or more")
    _refuse_what_runs_wrongly(tensors)
    batched = not (one_series or mixes_series) and _batch_is_first_everywhere(tensors)
    single = one_series or bool(tensors.states)
    reason = "" if batched else _reason_for_no_batching(tensors, one_series=one_series, mixes_series=mixes_series)
    lines = [
        *_comments(name, tensors, file, reason, idle_s),
        f"name: {_quoted(name)}",
        'backend: "onnxruntime"',
        'platform: "onnxruntime_onnx"',
        f"default_model_filename: {_quoted(file)}",
        f"max_batch_size: {max_batch if batched else 0}",
        *_tensor_list("input", ((tensor, _input_axes(tensor, tensors, single)) for tensor in tensors.data), batched),
        *_tensor_list("output", ((tensor, tensor.axes) for tensor in tensors.answers), batched),
    ]
    if tensors.states:
        lines += _sequence_batching(tensors, batched, idle_s, max_sequences)
    elif batched:
        lines += _dynamic_batching(max_batch)
    return "\n".join(lines) + "\n"


def _refuse_what_runs_wrongly(tensors: GraphSignature) -> None:
    if not tensors.data or not tensors.answers:
        raise ModelError("Triton needs an input and an output that are no states")
    inputs, outputs = list(tensors.states), list(tensors.states.values())
    # The server keeps inputs and outputs in two maps sorted by name, and finds the partner by its place in the other.
    if [tensors.states[name] for name in sorted(inputs, key=str.encode)] != sorted(set(outputs), key=str.encode):
        raise ModelError(
            "Triton would feed states back into the wrong inputs: it pairs them by the order of their names",
            got=", ".join(f"{name}={output}" for name, output in tensors.states.items()),
            fix="name the states so that inputs and outputs sort alike, each output once",
        )
    for name in inputs:
        moving = [axis for axis in tensors.input(name).axes if isinstance(axis, str) and axis != tensors.batch_axis]
        if moving:
            raise ModelError(
                f"Triton has no first value for the state {name}: its size is not fixed", got=", ".join(moving)
            )


def _batch_is_first_everywhere(tensors: GraphSignature) -> bool:
    """Whether requests may be joined. The name has to be `batch`: joining along time would be silently wrong."""
    states = [tensor for tensor in tensors.inputs if tensor.name in tensors.states]
    return all(tensor.axes[:1] == (BATCH,) and BATCH not in tensor.axes[1:] for tensor in _all(tensors)) and all(
        len(state.axes) > 1 for state in states
    )


def _all(tensors: GraphSignature) -> tuple[TensorSpec, ...]:
    return tensors.inputs + tensors.outputs


def _input_axes(tensor: TensorSpec, tensors: GraphSignature, single: bool) -> tuple[Axis, ...]:
    """The axes of an input, the batch's fixed to 1 where one series is all that a request may hold."""
    return tuple(1 if single and axis == tensors.batch_axis else axis for axis in tensor.axes)


def _dims(axes: tuple[Axis, ...]) -> str:
    axes = axes or (1,)  # the server refuses empty dims: a single number is said like this
    return f"[ {', '.join(str(-1 if isinstance(axis, str) else axis) for axis in axes)} ]"


def _tensor_list(kind: str, tensors: Iterable[tuple[TensorSpec, tuple[Axis, ...]]], batched: bool) -> Iterator[str]:
    for tensor, axes in tensors:
        yield f"{kind} {{"
        yield f"  name: {_quoted(tensor.name)}"
        yield f"  data_type: {_FP32}"
        own = axes[1:] if batched else axes
        yield f"  dims: {_dims(own)}"
        if batched and not own:
            yield "  reshape { shape: [ ] }"
        yield "}"


def _dynamic_batching(max_batch: int) -> Iterator[str]:
    sizes = [size for size in (PREFERRED_BATCH, max_batch) if size <= max_batch]
    yield "dynamic_batching {"
    yield f"  preferred_batch_size: {_dims(tuple(dict.fromkeys(sizes)))}"
    yield f"  max_queue_delay_microseconds: {QUEUE_DELAY_US}"
    yield "}"


def _sequence_batching(tensors: GraphSignature, batched: bool, idle_s: int, max_sequences: int) -> Iterator[str]:
    yield "sequence_batching {"
    yield f"  max_sequence_idle_microseconds: {idle_s * 1_000_000}"
    yield "  oldest {"
    yield f"    max_candidate_sequences: {max_sequences}"
    if batched:
        yield f"    max_queue_delay_microseconds: {QUEUE_DELAY_US}"
    yield "  }"
    for name, output in tensors.states.items():
        axes = _input_axes(tensors.input(name), tensors, single=True)
        yield from _state(name, output, _dims(axes[1:] if batched else axes))
    yield "}"


def _state(name: str, output: str, dims: str) -> Iterator[str]:
    yield "  state {"
    yield f"    input_name: {_quoted(name)}"
    yield f"    output_name: {_quoted(output)}"
    yield f"    data_type: {_FP32}"
    yield f"    dims: {dims}"
    yield "    initial_state {"
    yield f"      name: {_quoted(f'zero {name}')}"
    yield f"      data_type: {_FP32}"
    yield f"      dims: {dims}"
    yield "      zero_data: true"
    yield "    }"
    yield "  }"


def _reason_for_no_batching(tensors: GraphSignature, *, one_series: bool, mixes_series: bool) -> str:
    if one_series:
        return "one series per request: a quantised graph scales a whole batch by its largest value."
    if mixes_series:
        return "the answer for one series depends on the others in its request."
    holds = "A request holds one series." if tensors.states else "A request may hold several series itself."
    known = f"\n# {holds}" if tensors.states or tensors.batch_axis == BATCH else ""
    return f"the server joins requests along the first axis, which is not the batch's in every tensor.{known}"


def _comments(name: str, tensors: GraphSignature, file: str, reason: str, idle_s: int) -> Iterator[str]:
    yield "# Triton Inference Server: this text is config.pbtxt in the model's folder of the model repository:"
    yield f"#   {_quoted(name)}/config.pbtxt"
    yield f"#   {_quoted(name)}/1/{_quoted(file)}"
    joined = "Requests are joined along their first axis, those of equal sequence length."
    yield f"# No batching: {reason}" if reason else f"# {joined}"
    if tensors.states:
        names = ", ".join(_quoted(state) for state in tensors.states)
        yield f"# The server keeps {names} of every sequence, zero at its start. A client gives each series a"
        yield "# correlation id of its own, sequence_start with the first request and sequence_end with the last one."
        yield f"# A sequence that is silent for {idle_s} s is dropped and has to be started again."


def _quoted(text: str) -> str:
    r"""A string in text format: UTF-8, with everything but printable ASCII as `\ooo`, so that comments hold it too."""
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    mark = chr(byte)
    if mark in '"\\':
        return "\\" + mark
    return mark if " " <= mark <= "~" else f"\\{byte:03o}"
