"""onnxruntime as a contender in a process of its own: `python -m toolkit.benchmark.worker WAY ARGUMENTS`.

The parent times the start: from before it makes the process to the line with which this one says that it has answered.
So nothing is imported here before it is needed, and that line is written without a JSON library. Ways:

- `predictor FOLDER GRAPH PRECISION PROVIDER THREADS`: `load_bundle` and a predictor, as they are deployed. That the
  manifest is read and every file's hash is checked is part of its session time: whoever deploys a bundle waits for it.
- `default FILE`: `InferenceSession(path)` with onnxruntime's own options and `session.run`, as its documentation has
  it. It reads one file and checks nothing, which is its advantage.

The first line of standard input is the request: `[[NAME, SHAPE, NUMBERS], ...]`. What comes then, see
`worker_service`.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

Request = list[tuple[str, list[int], list[float]]]
"""Name, shape and numbers of each input."""

Call = Callable[[], object]
Bind = Callable[[Request], Call]
"""Makes the call of a contender that is open: the request's arrays are ready before."""

Opening = Callable[[], Bind]
"""From the files to something that can be called; what it needs is imported already."""


def main() -> None:
    """A process of onnxruntime's."""
    way, *arguments = sys.argv[1:]
    ways: dict[str, Callable[..., Opening]] = {"predictor": predictor, "default": default_session}
    run(lambda: ways[way](*arguments))


def run(imports: Callable[[], Opening]) -> None:
    """Opens, answers once, says so, and serves; an error that is one line already goes to the parent as one.

    Args:
        imports: imports what the contender needs.
    """
    out = _own_output()

    def say(line: str) -> None:
        print(line, file=out, flush=True)

    try:
        call = _start(imports, say)
    except Exception as error:
        from toolkit.errors import ToolkitError  # noqa: PLC0415 - only where something went wrong

        if not isinstance(error, ToolkitError):
            raise
        say(_as_json({"error": str(error)}))
        return
    from toolkit.benchmark.worker_service import serve  # noqa: PLC0415 - after the start, which is timed

    serve(call, sys.stdin, say)


def _start(imports: Callable[[], Opening], say: Callable[[str], None]) -> Call:
    opening = imports()
    imported = time.perf_counter_ns()
    bind = opening()
    opened = time.perf_counter_ns()
    call = bind(_request())
    call()
    answered = time.perf_counter_ns()
    say(f'{{"session_ns": {opened - imported}, "first_answer_ns": {answered - opened}}}')
    return call


def _own_output() -> TextIO:
    """Standard output for this protocol alone: whatever a library prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def _request() -> Request:
    import json  # noqa: PLC0415 - in the time that is measured

    request: Request = json.loads(sys.stdin.readline())
    return request


def _as_json(value: object) -> str:
    import json  # noqa: PLC0415 - only where something went wrong

    return json.dumps(value)


def predictor(folder: str, graph: str, precision: str, provider: str, threads: str) -> Opening:
    """The bundle's predictor under the default policy."""
    from toolkit.runtime.bundle import load_bundle  # noqa: PLC0415 - in the time that is measured, as is the next one
    from toolkit.runtime.session import SessionPolicy  # noqa: PLC0415

    def opening() -> Bind:
        policy, bundle = SessionPolicy(int(threads), provider=provider), load_bundle(folder)
        kind: Any = precision
        if graph == "windowed":
            windowed = bundle.windowed(policy, kind)
            return lambda request: _windowed(windowed, request)
        streaming = bundle.streaming(policy, kind)
        return lambda request: _streaming(streaming, request)

    return opening


def _windowed(windowed: Any, request: Request) -> Call:
    (_, x), *others = _arrays(request)
    named = dict(others)
    return lambda: windowed.predict(x, **named)


def _streaming(streaming: Any, request: Request) -> Call:
    """A step from the state that the last one left, as a stream has it."""
    feed = dict(_arrays(request))
    tensors = streaming.graph.tensors
    state = [{name: feed.pop(name) for name in tensors.states}]
    x = feed.pop(tensors.data[0].name)

    def step() -> object:
        answer, state[0] = streaming.advance(x, state[0], **feed)
        return answer

    return step


def default_session(file: str) -> Opening:
    """onnxruntime as its documentation runs it."""
    import onnxruntime  # noqa: PLC0415 - in the time that is measured

    def opening() -> Bind:
        session = onnxruntime.InferenceSession(file)

        def bind(request: Request) -> Call:
            feed = dict(_arrays(request))
            return lambda: session.run(None, feed)

        return bind

    return opening


def _arrays(request: Request) -> list[tuple[str, Any]]:
    import numpy as np  # noqa: PLC0415 - onnxruntime has imported it

    return [(name, np.array(numbers, np.float32).reshape(shape)) for name, shape, numbers in request]


if __name__ == "__main__":
    main()
