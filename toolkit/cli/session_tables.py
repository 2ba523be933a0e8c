"""What `tune-session` tried, and the winner in words."""

from collections.abc import Iterator

from toolkit.cli.text_table import table, wrapped
from toolkit.contract.session_reports import SessionReport, SessionSetting, SessionTrial, SessionWinner

HEADER = ["tried", "verdict", "p50 ms", "CPU s/1000", "ratio", "95 %", "needed"]


def session_table(report: SessionReport) -> str:
    """Every trial, the winner of each graph, and what was not tried."""
    lines = [f"{trial.graph}: {idle}" for trial in report.trials if (idle := _idle(trial))]
    lines += [_winner(winner) for winner in report.winners]
    lines += [f"Note: {note}." for note in report.notes]
    return "\n".join([table(HEADER, list(_rows(report)), left=2), *map(wrapped, lines)])


def _rows(report: SessionReport) -> Iterator[list[str]]:
    """A heading for each graph, then a row for each trial."""
    said = None
    for trial in report.trials:
        if trial.graph != said:
            said = trial.graph
            yield [trial.graph]
        yield _row(trial)


def _row(trial: SessionTrial) -> list[str]:
    return [
        f"  {_tried(trial)}",
        f"kept: {trial.reason}" if trial.kept else trial.reason,
        f"{trial.p50_ms:.4f}",
        f"{trial.cpu_s_per_1000:.3g}",
        f"{trial.ratio:.3f}",
        f"{trial.ratio_interval[0]:.3f}-{trial.ratio_interval[1]:.3f}",
        f"{trial.needed:.2f}",
    ]


def _tried(trial: SessionTrial) -> str:
    setting = trial.setting
    by_step = {
        "precision": f"precision {setting.precision}",
        "optimisation": f"optimisation {setting.optimisation}",
        "arena": f"arena {_switch(setting.arena)}",
        "memory pattern": f"memory pattern {_switch(setting.memory_pattern)}",
        "threads": f"{setting.threads} threads",
        "spinning": f"spinning, {setting.threads} threads",
    }
    return by_step.get(trial.step, f"{trial.step}, against the default")


def _idle(trial: SessionTrial) -> str:
    """What waiting costs, where it was measured."""
    if trial.idle_cpu is None or trial.reference_idle_cpu is None:
        return ""
    setting = "spinning" if trial.setting.spinning else "not spinning"
    return (
        f"{setting} with {trial.setting.threads} threads uses {trial.idle_cpu:.0%} of a core between requests, "
        f"where {trial.reference_idle_cpu:.0%} are used otherwise"
    )


def _winner(winner: SessionWinner) -> str:
    if winner.default:
        return f"{winner.graph}: the default stays ({setting_text(winner.setting)}); nothing was faster beyond noise."
    low, high = winner.speedup_interval
    return (
        f"{winner.graph}: {setting_text(winner.setting)}: {winner.speedup:.2f} times as fast as the default "
        f"({low:.2f} to {high:.2f})."
    )


def setting_text(setting: SessionSetting) -> str:
    """A setting in words."""
    threads = "1 thread" if setting.threads == 1 else f"{setting.threads} threads"
    return (
        f"{setting.precision}, {threads}, spinning {_switch(setting.spinning)}, arena {_switch(setting.arena)}, "
        f"memory pattern {_switch(setting.memory_pattern)}, optimisation {setting.optimisation}"
    )


def _switch(value: bool) -> str:
    return "on" if value else "off"
