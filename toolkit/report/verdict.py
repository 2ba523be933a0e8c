"""The first section: what the model is for, how good it is, and whether it may be deployed, as far as sources say it.

Nothing is claimed that no source holds. What speaks against deploying it comes from a check that failed; what nobody
checked is told as not known, with the command that would tell.
"""

from collections.abc import Iterator
from typing import Any

from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.contract.readiness_reports import ReadinessReport
from toolkit.contract.reports import Scores
from toolkit.report.belonging import seen_before, strangers
from toolkit.report.figures import counted, listed, number, percent, short, span, with_unit
from toolkit.report.judgement import beaten, forecast_scores, is_scored
from toolkit.report.material import Material, Named, label
from toolkit.report.page import Block, Facts, Missing, Section, Table, Tone, Words, table

PARITY_COMMAND = "lstm-edge parity BUNDLE --json parity.json"
LATENCY_COMMAND = "lstm-edge benchmark BUNDLE --json latency.json"
READY_COMMAND = "lstm-edge gateway check BUNDLE --budget p99_ms=2 --json ready.json"
TRAIN_COMMAND = "lstm-edge train CONFIG --run RUN"
SCORE_COMMAND = "lstm-edge evaluate BUNDLE --data FILE --timestamp COLUMN --json evaluation.json"


def parity_command(material: Material) -> str:
    """Of a bundle that was made from somebody's own module, whose code is not in it, the module is named too."""
    foreign = material.bundle is not None and material.bundle.is_foreign
    return PARITY_COMMAND.replace("--json", "--module PACKAGE.MODULE:FACTORY --json") if foreign else PARITY_COMMAND


def verdict_section(material: Material) -> Section:
    """What is known for and against the model, the headline first."""
    against, unknown, strange = list(_against(material)), list(_unknown(material)), list(strangers(material))
    blocks: list[Block] = [_headline(material, against, unknown, strange)]
    blocks += [Words(reason, "bad") for reason in against]
    blocks += [Words(text, tone) for text, tone in _findings(material)]
    blocks += [Words(text, "warn") for text in (*strange, *seen_before(material))]
    blocks += unknown
    facts = _facts(material)
    return Section(
        "verdict", "Verdict", (*blocks[:1], *([Facts(facts)] if facts else []), *blocks[1:], *_scores(material))
    )


def _headline(material: Material, against: list[str], unknown: list[Missing], strange: list[str]) -> Words:
    if against:
        return Words(f"Not ready to deploy: {counted(len(against), 'reason')} below.", "bad")
    if strange:
        return Words("Not decided whether it is ready to deploy: not all sources are about one model.", "open")
    if unknown:
        return Words("Not decided whether it is ready to deploy: not everything was checked.", "open")
    machines = {str(one.report.environment.get("cpu") or "") for one in material.readiness} - {""}
    on = f" on {short(machines.pop(), 60)}" if len(machines) == 1 else ""
    return Words(f"Ready to deploy{on}.", "good")


def _against(material: Material) -> Iterator[str]:
    """Checks that failed."""
    for one in material.parity:
        if not one.report.passed:
            summary = one.report.summary
            what = f"{summary.failed} of {summary.cases} cases fail" if summary.failed else "a check of it fails"
            yield f"{one.name}: parity failed, {what}; onnxruntime does not compute what torch computes."
    if not material.parity and int(_bundle_parity(material).get("failed", 0)) > 0:
        yield "The bundle says of itself that parity failed."
    for ready in material.readiness:
        if not ready.report.ready:
            reasons = "; ".join(ready.report.reasons) or ready.report.trial.problem or "no reason is given"
            yield f"{ready.name}: the gateway check says not ready: {reasons}."
    yield from beaten(material)
    for comparison in material.comparisons:
        if comparison.report.regressions:
            worse = counted(comparison.report.regressions, "figure")
            yield f"{comparison.name}: {worse} worse than before, beyond noise."


def _unknown(material: Material) -> Iterator[Missing]:
    """What was not checked, as far as it bears on deploying."""
    if not is_scored(material):
        foreign = material.bundle is not None and material.bundle.is_foreign
        yield Missing("how well it forecasts", SCORE_COMMAND if foreign else TRAIN_COMMAND)
    if not any(one.report.summary.cases > 0 for one in material.parity) and not _bundle_parity(material):
        yield Missing("whether onnxruntime computes what torch computes", parity_command(material))
    if not material.readiness:
        yield Missing("whether the machine that it is meant for may run it", READY_COMMAND)


def _findings(material: Material) -> Iterator[tuple[str, Tone]]:
    yield from _accuracy_findings(material)
    for one in material.parity:
        if one.report.passed and one.report.summary.cases > 0:
            summary = one.report.summary
            used = f"; the largest error is {percent(summary.used, 0)} of its tolerance" if summary.used else ""
            named = label(material.parity, one)
            yield f"{named + ': p' if named else 'P'}arity passed: {counted(summary.cases, 'case')}{used}.", "good"
    told = _bundle_parity(material)
    if not material.parity and told and not int(told.get("failed", 0)):
        share = told.get("worst_share_of_tolerance")
        used = f"; the largest error is {percent(float(share), 0)} of its tolerance" if share is not None else ""
        yield f"Parity passed when the bundle was made: {counted(int(told['cases']), 'case')}{used}.", "good"
    for latency in material.latency:
        yield from ((text, "") for text in _speed(latency.report, label(material.latency, latency), material))
    for ready in material.readiness:
        yield from _budget_lines(ready.report)
    if not any(ready.report.budgets for ready in material.readiness):
        yield "No budget for latency or memory stands in any source, so that none is judged.", "open"


def _accuracy_findings(material: Material) -> Iterator[tuple[str, Tone]]:
    forecasts: tuple[Named[Any], ...] = (*material.evaluations, *material.training)
    classifiers: tuple[Named[Any], ...] = (*material.class_evaluations, *material.class_training)
    told: dict[str, list[str]] = {}
    for one in (*forecasts, *classifiers):
        told.setdefault(one.report.verdict, []).append(one.name)
    for sentence, names in told.items():
        yield f"{listed(names)}: the model {sentence}.", ""
    verdict = None if forecasts or classifiers else _bundle_scores(material).get("verdict")
    if isinstance(verdict, str):
        yield f"When the bundle was made: the model {verdict}.", ""
    for scored in forecasts:
        if scored.report.interval is not None:
            yield f"{scored.name}: {scored.report.interval.sentence}.", ""


def _speed(report: LatencyReport, name: str, material: Material) -> Iterator[str]:
    """Of the deployed way: onnxruntime on the CPU, one series a call; a window of the model's length where measured."""
    machine = report.environment.get("cpu")
    on = f" on {short(str(machine), 60)}" if machine else ""
    window = None if material.model is None else material.model.window_length
    for scenario, what in (("single", "A window"), ("stream", "A step of a stream")):
        rows = [row for row in report.rows if row.scenario == scenario and _deployed(row, material)]
        if rows:
            own = [row for row in rows if row.sequence == window] if scenario == "single" else rows
            best = min(own or rows, key=lambda row: row.p50_ms or 0.0)
            precision = "" if best.precision == "fp32" else f" in {short(best.precision, 10)}"
            yield (
                f"{name + ': ' if name else ''}{what} of {counted(best.sequence, 'sample')} takes "
                f"{number(best.p50_ms, 3)} ms{precision} at the median and {number(best.p99_ms, 3)} ms at the "
                f"99th percentile{on}."
            )


def _deployed(row: LatencyRow, material: Material) -> bool:
    """Of a bundle with several precisions the one that is run, however fast the others are."""
    entries = () if material.bundle is None else material.bundle.manifest.graphs
    run = {entry.precision for entry in entries if entry.preferred and entry.name == row.graph}
    plain = row.contender == "onnxruntime" and row.provider.startswith("CPU") and row.batch == 1
    return plain and bool(row.p50_ms) and (not run or row.precision in run)


def _budget_lines(report: ReadinessReport) -> Iterator[tuple[str, Tone]]:
    for budget in report.budgets:
        found = "not measured" if budget.value is None else number(budget.value)
        kept = "kept" if budget.kept else "broken"
        yield f"Budget {budget.name} {kept}: {found}, allowed {number(budget.limit)}.", "good" if budget.kept else "bad"


def _facts(material: Material) -> tuple[tuple[str, str], ...]:
    """What it reads and what it answers."""
    signal, model = material.signal, material.model
    if signal is None or model is None:
        return tuple(_facts_of_reports(material))
    if model.classes:
        answer = ("Tells apart", listed(model.class_names) or counted(model.classes, "class", "classes"))
    else:
        units = zip(signal.targets, signal.target_units, strict=True)
        answer = ("Forecasts", listed([with_unit(name, unit) for name, unit in units]))
    facts = [answer]
    if model.horizon:
        ahead = counted(model.horizon, "step")
        facts.append(
            ("How far ahead", f"{span(model.horizon * signal.interval_s)}: {ahead} of {span(signal.interval_s)}")
        )
    window = f"{span(model.window_length * signal.interval_s)}: {counted(model.window_length, 'row')}"
    facts.append(("From", f"{window} of {counted(len(signal.channels), 'channel')}"))
    if model.quantiles:
        facts.append(("With", f"quantiles {', '.join(f'{quantile:g}' for quantile in model.quantiles)}"))
    sizes = f"{counted(model.num_layers, 'layer')} of {counted(model.hidden_size, 'unit')}"
    facts.append(("Model", f"{model.cell.upper()}, {sizes}{', carries its state on' if model.streaming else ''}"))
    return tuple(facts)


def _facts_of_reports(material: Material) -> Iterator[tuple[str, str]]:
    """The same from what reports say, where there is neither run nor bundle."""
    for ready in material.readiness:
        plan = ready.report.plan
        if plan is not None:
            yield "Forecasts", listed([with_unit(name, unit) for name, unit in plan.targets.items()])
            if plan.horizon:
                yield "How far ahead", f"{span(plan.horizon * plan.interval_s)}: {counted(plan.horizon, 'step')}"
            return
    for data in material.data:
        units = dict(zip(data.report.channels, data.report.units, strict=True))
        yield "Forecasts", listed([with_unit(name, units.get(name, "")) for name in data.report.targets])
        return
    for _, (model, _) in forecast_scores(material):
        yield "Forecasts", listed(list(model.per_target))
        return


def _scores(material: Material) -> Iterator[Table]:
    """The model beside the baselines, for each report that has them."""
    for name, (model, baselines) in forecast_scores(material):
        rows = [_row("this model", model, None)]
        rows += [_row(other, scores, model) for other, scores in baselines.items()]
        header = ("", "MSE", "MAE", "the model's MSE beside it", with_unit("raw MAE", _unit(material, model)))
        yield table(f"{name}: errors in standard deviations where a scale is known", header, rows)


def _unit(material: Material, model: Scores) -> str:
    """Of a mean over targets: theirs, or none that could be named."""
    units = {material.unit_of(target) for target in model.per_target}
    return units.pop() if len(units) == 1 else "mixed units" if units else ""


def _row(name: str, scores: Scores, model: Scores | None) -> tuple[str, ...]:
    beside = "" if model is None else _beside(model.test_standardised.mse, scores.test_standardised.mse)
    errors = scores.test_standardised
    return short(name, 40), number(errors.mse), number(errors.mae), beside, number(scores.test.mae)


def _beside(own: float, other: float) -> str:
    if not other > 0:
        return "-"
    change = own / other - 1
    return f"{percent(abs(change))} {'smaller' if change < 0 else 'larger'}"


def _bundle_parity(material: Material) -> dict[str, Any]:
    """The summary that `export` recorded; empty where there is none or it is no summary."""
    told = {} if material.bundle is None else material.bundle.manifest.parity
    numbers = all(isinstance(told.get(key), (int, float)) for key in ("cases", "failed"))
    share = isinstance(told.get("worst_share_of_tolerance", 0.0), (int, float))
    return told if numbers and share and told["cases"] > 0 else {}


def _bundle_scores(material: Material) -> dict[str, Any]:
    return {} if material.bundle is None else material.bundle.manifest.accuracy
