"""What a report says of where its figures come from: the machine, its load, the code, and the bundle."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import toolkit
from toolkit.benchmark.plan import IN_TURNS, BenchmarkPlan
from toolkit.contract.manifest import MANIFEST
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment
from toolkit.runtime.session import SessionPolicy

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_CHECKOUT = Path(toolkit.__file__).resolve().parent.parent


def surroundings(bundle: Bundle, plan: BenchmarkPlan, load_before: Sequence[float]) -> dict[str, Any]:
    """The environment of a report.

    Args:
        bundle: whose graphs were run.
        plan: what was measured.
        load_before: the load average when the measurement began.
    """
    return {
        **environment(),
        "threads": plan.threads,
        "provider_options": provider_options(bundle, plan),
        "commit": commit(_CHECKOUT),
        "load_average": {"start": list(load_before), "end": load_average()},
    }


def described_bundle(bundle: Bundle, plan: BenchmarkPlan) -> dict[str, str]:
    """What `compare` needs to know of the bundle and of the sizes that were asked for."""
    digest = hashlib.sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest()
    sizes = {"batches": plan.batches, "sequences": plan.sequences, "chunks": plan.chunks}
    return {
        "name": bundle.manifest.name,
        "manifest_sha256": digest,
        "model": model_sizes(bundle),
        "scenarios": ", ".join(plan.scenarios or IN_TURNS),
        "seconds": f"{plan.seconds:g}",
        **{name: ", ".join(map(str, values)) for name, values in sizes.items()},
    }


def model_sizes(bundle: Bundle) -> str:
    """What decides how much work a call is; of somebody's own module that is its files' sizes."""
    model = bundle.manifest.model
    if model is None:
        files = (bundle.manifest.files[entry.file].bytes for entry in bundle.manifest.graphs)
        return f"own module of {max(files) // 1024} KiB"
    sizes = ("cell", "num_layers", "hidden_size", "input_size", "horizon", "targets", "classes", "bidirectional")
    others = ("normalisation", "patch_length", "channel_mixing")
    values = asdict(model)
    return ", ".join(f"{name} {values[name]}" for name in (*sizes, *others))


def provider_options(bundle: Bundle, plan: BenchmarkPlan) -> dict[str, dict[str, str]]:
    """By provider, the options that onnxruntime says a session of it runs under."""
    found: dict[str, dict[str, str]] = {}
    for name in plan.providers:
        policy = SessionPolicy(threads=plan.threads, provider=name)
        told = bundle.open(bundle.manifest.graphs[0], policy).get_provider_options()
        found |= {provider: {key: str(value) for key, value in options.items()} for provider, options in told.items()}
    return found


def load_average() -> list[float]:
    """Of the last one, five and fifteen minutes; empty where the system does not tell."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return []


def commit(checkout: Path) -> str | None:
    """The commit that is checked out in a folder, read from git's own files; None where there is none.

    A report must not fail, nor start a process, for the sake of this line.
    """
    try:
        git = checkout / ".git"
        if git.is_file():  # a worktree: the line says where its own part lies
            git = checkout / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref:"):
            head = _of_branch(git, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return None
    return head if _COMMIT.fullmatch(head) else None


def _of_branch(git: Path, name: str) -> str:
    shared = git / "commondir"
    common = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
    for folder in (git, common):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
    packed = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
