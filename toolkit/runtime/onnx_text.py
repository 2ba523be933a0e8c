"""Names from an ONNX file as they may be printed: a name may hold anything, a line break or an escape sequence too."""

from collections.abc import Iterable

from toolkit.runtime.onnx_file import Node

MAX_SHOWN = 60


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """The text with what cannot be printed escaped, cut to `limit` characters."""
    start = text[: limit + 1]
    safe = start if start.isprintable() else start.encode("unicode_escape").decode("ascii")
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def axes_text(axes: Iterable[object]) -> str:
    """Axes as `[batch, sequence, 9]`."""
    return f"[{', '.join(shown(str(axis)) for axis in axes)}]"


def node_label(node: Node) -> str:
    """The operator and the node's name, or its first output where it has no name."""
    name = node.name or next(iter(node.outputs), "")
    return f"{operator_name(node)} {shown(name)}" if name else operator_name(node)


def operator_name(node: Node) -> str:
    """The operator, with its domain where that is not ONNX's own."""
    return operator_name_of(node.op_type, node.domain)


def operator_name_of(op_type: str, domain: str) -> str:
    """The same of an operator that is no node."""
    return shown(op_type if domain in ("", "ai.onnx") else f"{domain}.{op_type}")


def listed(names: Iterable[str], limit: int = 4) -> str:
    """The first few different names, and how many more there are."""
    different = list(dict.fromkeys(names))
    more = f" and {len(different) - limit} more" if len(different) > limit else ""
    return ", ".join(map(shown, different[:limit])) + more
