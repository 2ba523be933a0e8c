"""Reports as plain tables."""

from statistics import mean, stdev

from toolkit.cli.class_tables import class_evaluation_table, class_training_table
from toolkit.cli.text_table import table, wrapped
from toolkit.contract.class_reports import ClassEvaluationReport, ClassTrainingReport
from toolkit.contract.manifest import BundleManifest
from toolkit.contract.reports import Errors, EvaluationReport, IntervalScores, TrainingReport


def training_table(report: TrainingReport | ClassTrainingReport) -> str:
    """The model beside the baselines, and the verdict in words."""
    if isinstance(report, ClassTrainingReport):
        return class_training_table(report)
    scores = {"this model": (report.test_standardised, report.test)}
    if report.streaming is not None:
        scores["this model, streaming"] = (report.streaming.test_standardised, report.streaming.test)
    scores |= {name: (s.test_standardised, s.test) for name, s in report.baselines.items()}
    labels = {"seasonal": f"seasonal ({report.season} samples)"}
    rows = [
        [labels.get(name, name), *(f"{value:.4g}" for errors in pair for value in (errors.mse, errors.mae))]
        for name, pair in scores.items()
    ]
    header = ["test windows", "MSE (std)", "MAE (std)", "MSE (raw)", "MAE (raw)"]
    targets = ", ".join(f"{name} {errors.mae:.4g}" for name, errors in report.per_target.items())
    return (
        f"{table(header, rows)}\n"
        f"{wrapped(f'The model {report.verdict}.')}\n"
        f"{wrapped(f'Mean absolute error by target, in its unit: {targets}')}\n"
        f"{report.parameters} parameters, best epoch {report.best_epoch} of {report.epochs}, {report.seconds:.1f} s"
        f"{_seeds_text(report)}"
        f"{_interval_text(report.interval)}" + "".join(f"\n{wrapped(f'Note: {note}.')}" for note in report.notes)
    )


def _interval_text(interval: IntervalScores | None) -> str:
    return "" if interval is None else "\n" + wrapped(f"{interval.sentence}; pinball loss {interval.pinball:.4g}")


def _seeds_text(report: TrainingReport) -> str:
    """Mean and spread over the seeds; the spread is the sample standard deviation."""
    if not report.seeds:
        return ""
    mse, mae = ([getattr(seed.test_standardised, error) for seed in report.seeds] for error in ("mse", "mae"))
    kept = next(seed.seed for seed in report.seeds if seed.kept)
    return "\n" + wrapped(
        f"{len(report.seeds)} seeds, standardised: MSE {mean(mse):.4g} +- {stdev(mse):.2g}, "
        f"MAE {mean(mae):.4g} +- {stdev(mae):.2g}; seed {kept}, the best on validation, is kept"
    )


SHOWN_STEPS, SHOWN_ASSETS = 12, 20


def evaluation_table(report: EvaluationReport | ClassEvaluationReport) -> str:
    """The model beside the baselines; by target, by step of the horizon, by asset."""
    if isinstance(report, ClassEvaluationReport):
        return class_evaluation_table(report)
    unit = "std" if report.standardised else "raw"
    scores = {"this model": report.model, **report.baselines}
    labels = {"seasonal": f"seasonal ({report.season} samples)"}
    rows = [
        [labels.get(name, name), *(f"{value:.4g}" for e in (s.test_standardised, s.test) for value in (e.mse, e.mae))]
        for name, s in scores.items()
    ]
    header = [f"{report.windows} windows", f"MSE ({unit})", f"MAE ({unit})", "MSE (raw)", "MAE (raw)"]
    parts = [table(header, rows)]
    targets = [[name, f"{errors.mse:.4g}", f"{errors.mae:.4g}"] for name, errors in report.model.per_target.items()]
    parts.append(table(["target, in its unit", "MSE", "MAE"], targets))
    every = -(-len(report.by_step) // SHOWN_STEPS)
    steps = [(place + 1, errors) for place, errors in enumerate(report.by_step)][every - 1 :: every]
    parts.append(table([f"step ahead ({unit})", "MSE", "MAE"], [_error_row(str(step), e) for step, e in steps]))
    if len(report.by_asset) > 1:
        worst = sorted(report.by_asset.items(), key=lambda pair: -pair[1].mse)[:SHOWN_ASSETS]
        parts.append(table([f"asset, worst first ({unit})", "MSE", "MAE"], [_error_row(*pair) for pair in worst]))
    return "\n\n".join((*parts, wrapped(f"The model {report.verdict}.") + _interval_text(report.interval)))


def _error_row(name: str, errors: Errors) -> list[str]:
    return [name, f"{errors.mse:.4g}", f"{errors.mae:.4g}"]


def limit_lines(manifest: BundleManifest) -> list[str]:
    """One line for each size that a graph does not take."""
    lines = []
    for entry in manifest.graphs:
        if entry.precision == "fp32":
            least = [f"{axis} {size} or more" for axis, size in entry.min_sizes.items()]
            most = [f"{axis} {size} at most" for axis, size in entry.max_sizes.items()]
            lines += [f"The {entry.name} graph takes {size}, as the module does" for size in (*least, *most)]
    return lines


def precision_lines(manifest: BundleManifest) -> list[str]:
    """One line for each precision that was measured: what it gained, what it cost, whether it is run."""
    if manifest.precision is None:
        return []
    return [f"{c.graph} in {c.precision}: {c.reason}" for c in manifest.precision.candidates]
