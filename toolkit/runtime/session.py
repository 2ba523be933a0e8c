"""onnxruntime sessions under one explicit policy."""

from typing import TYPE_CHECKING, Any

import onnxruntime

from toolkit.contract.frozen import dataclass
from toolkit.errors import BundleError, RequestError
from toolkit.runtime.provider_setup import load_libraries, provider_options

if TYPE_CHECKING:
    from pathlib import Path

CPU = "CPUExecutionProvider"

Session = Any
"""An `onnxruntime.InferenceSession`; the package ships no types."""


@dataclass(frozen=True)
class SessionPolicy:
    """How a session uses the machine.

    Attributes:
        threads: within one operator. One is the default: a second costs small models time, and a gateway is shared.
        spinning: whether idle threads wait by spinning. onnxruntime's own default burnt 62 % of a core at 50
            predictions per second where 1.9 % do with spinning off, at the same latency.
        arena: whether freed memory is kept in onnxruntime's arena; off gave 1-14 % on small models.
        optimisation: onnxruntime's graph optimisation: `all`, `basic` or `none`.
        provider: the execution provider that must run the graph.
        memory_pattern: whether onnxruntime plans the memory of a shape that comes again as one block. On, as it is by
            default: off cost a streaming step 2 % (9 % with the arena on), and a window nothing.
    """

    threads: int = 1
    spinning: bool = False
    arena: bool = False
    optimisation: str = "all"
    provider: str = CPU
    memory_pattern: bool = True


LEVELS = {"all": "ORT_ENABLE_ALL", "basic": "ORT_ENABLE_BASIC", "none": "ORT_DISABLE_ALL"}
"""A policy's `optimisation`, and onnxruntime's name for it."""


def create_session(
    graph: bytes, policy: SessionPolicy | None = None, name: str = "the graph", profile: "Path | None" = None
) -> Session:
    """Loads a graph from its bytes.

    Args:
        graph: the contents of an `.onnx` file with its weights inside.
        policy: None means the default one.
        name: what to call the graph in messages.
        profile: how the name of onnxruntime's own profile begins, which every call then writes to and which
            `end_profiling` of the session ends; None means that it keeps none.

    Raises:
        RequestError: the policy's provider is not in this onnxruntime, or it did not take the session.
        BundleError: onnxruntime refuses the graph.
    """
    policy = policy or SessionPolicy()
    if policy.provider not in onnxruntime.get_available_providers():
        raise RequestError(
            f"{policy.provider} is not in this onnxruntime",
            allowed=", ".join(onnxruntime.get_available_providers()),
        )
    asked = (policy.provider, provider_options(policy.provider, policy.threads))
    providers = [asked] if policy.provider == CPU else [asked, (CPU, {})]
    load_libraries(policy.provider)
    try:
        session = onnxruntime.InferenceSession(graph, _options(policy, profile), providers=providers)
    # A damaged graph raises onnxruntime's own types, but RuntimeError and UnicodeDecodeError as well.
    except Exception as error:
        raise BundleError(f"onnxruntime refuses {name}", got=_told(error)) from error
    if session.get_providers()[0] != policy.provider:
        raise RequestError(f"{policy.provider} did not take {name}", got=", ".join(session.get_providers()))
    return session


def run_session(session: Session, feed: dict[str, Any], outputs: list[str] | None = None) -> list[Any]:
    """`session.run` whose failures are one line.

    Raises:
        BundleError: onnxruntime cannot run the graph on these inputs.
    """
    try:
        results: list[Any] = session.run(outputs, feed)
    except Exception as error:  # onnxruntime raises several unrelated types
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
        raise BundleError(f"onnxruntime cannot run the graph on {shapes}", got=_told(error)) from error
    return results


def _told(error: Exception) -> str:
    from toolkit.runtime.providers import one_line  # noqa: PLC0415 - only where something went wrong

    return one_line(str(error) or type(error).__name__)


def _options(policy: SessionPolicy, profile: "Path | None") -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = policy.threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = policy.arena
    options.enable_mem_pattern = policy.memory_pattern
    if profile is not None:
        options.profile_file_prefix = str(profile)
        options.enable_profiling = True
    options.log_severity_level = 4  # what goes wrong is raised, and told once
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[policy.optimisation])
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if policy.spinning else "0")
    return options
