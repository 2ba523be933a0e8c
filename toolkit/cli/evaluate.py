"""`lstm-edge evaluate`: how well a run or a bundle forecasts on a table."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.console import json_option, quiet_option, require_extra, say, write_report
from toolkit.cli.data_options import one_or_several, reading_settings
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.cli.work_progress import CountedProgress
    from toolkit.contract.class_reports import ClassEvaluationReport
    from toolkit.contract.reports import EvaluationReport
    from toolkit.evaluation import Classifier, Forecaster
    from toolkit.evaluation.classify import LabelledWindows
    from toolkit.evaluation.evaluate import Windows
    from toolkit.runtime.bundle import Bundle
    from toolkit.training import Run


@click.command(short_help="Score a run or a bundle on a table, beside the baselines.")
@click.argument("source", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option("--data", "file", multiple=True, metavar="FILE", help="Default: a run's own test part; repeatable.")
@click.option("--timestamp", multiple=True, metavar="COLUMN", help="The time column of FILE, for a bundle.")
@click.option("--asset", metavar="COLUMN", help="The column that tells machines apart, for a bundle.")
@click.option("--label", metavar="COLUMN", help="The column of classes in FILE, for a bundle that holds a classifier.")
@click.option("--set", "settings", metavar="data.KEY=VALUE", multiple=True, help="How FILE is read; repeatable.")
@click.option("--season", type=int, metavar="N", help="Samples in a season; default: the run's, or found in the table.")
@json_option
@quiet_option
def evaluate(source: Path, *, season: int | None, json_file: str | None, **options: Any) -> None:
    """Score the run or bundle RUN|BUNDLE on every window of a table: overall, by target, horizon step and asset.

    Of a classifier: accuracy, F1 and the confusion matrix of the windows whose last row has a label.

    A run is scored by its torch module, on the test part of the table that it was trained on or on every window of
    FILE; a bundle by its exported graph, on FILE.

    Example: lstm-edge evaluate exported/plant --data new.csv --timestamp timestamp --asset asset
    """
    require_extra("train", "evaluate")
    from toolkit.cli.tables import evaluation_table

    report = _report(source, season, _table(**options))
    say(evaluation_table(report), json_file)
    write_report(report, json_file)


@dataclass(frozen=True)
class _Table:
    """The file to score on, and its columns, as far as they were given."""

    file: str | tuple[str, ...] | None
    timestamp: str | tuple[str, ...] | None
    asset: str | None
    label: str | None
    reading: dict[str, Any]


def _table(
    file: tuple[str, ...], timestamp: tuple[str, ...], asset: str | None, label: str | None, settings: tuple[str, ...]
) -> _Table:
    if settings and not file:
        raise ConfigError("--set goes with --data: a run reads its own table as it did", fix="add --data FILE")
    return _Table(one_or_several(file), one_or_several(timestamp), asset, label, reading_settings(settings))


def _report(source: Path, season: int | None, where: _Table) -> "EvaluationReport | ClassEvaluationReport":
    from toolkit.evaluation import evaluate as score
    from toolkit.evaluation import evaluate_classes

    opened = _opened(source, where)
    if _classes(opened):
        if season is not None:
            raise ConfigError("--season goes with a forecaster", got=season, fix="leave it out")
        classifier, labelled = _classifier(opened, where)
        with _progress(len(labelled.starts)) as progress:
            return evaluate_classes(replace(classifier, classify=progress.counting(classifier.classify)), labelled)
    if where.label is not None:
        raise ConfigError("--label goes with a classifier", got=repr(where.label), fix="leave it out")
    forecaster, windows = _forecaster(opened, where)
    if season is not None and not 1 <= season <= forecaster.window_length:
        allowed = f"1 to the window length, {forecaster.window_length}"
        raise ConfigError("--season", got=season, allowed=allowed)
    with _progress(len(windows.starts)) as progress:
        return score(replace(forecaster, forecast=progress.counting(forecaster.forecast)), windows, season)


def _progress(windows: int) -> "CountedProgress":
    from toolkit.cli.work_progress import CountedProgress

    return CountedProgress("evaluating", "windows", windows)


def _opened(source: Path, where: _Table) -> "Run | Bundle":
    from toolkit.contract.manifest import MANIFEST
    from toolkit.runtime.bundle import load_bundle
    from toolkit.training import load_run

    if (source / MANIFEST).exists():
        _of_bundle(where)
        return load_bundle(source)
    if where.timestamp is not None or where.asset is not None or where.label is not None:
        fix = "leave them out: a run knows its columns"
        raise ConfigError("--timestamp, --asset and --label go with a bundle", fix=fix)
    return load_run(source)


def _of_bundle(where: _Table) -> tuple[str | tuple[str, ...], str | tuple[str, ...]]:
    if where.file is None or where.timestamp is None:
        fix = "--data FILE --timestamp COLUMN"
        raise ConfigError("a bundle is evaluated on a file: it holds no table", got="none", fix=fix)
    return where.file, where.timestamp


def _classes(opened: "Run | Bundle") -> int:
    from toolkit.training import Run

    model = opened.record.model if isinstance(opened, Run) else opened.manifest.model
    return 0 if model is None else model.classes


def _forecaster(opened: "Run | Bundle", where: _Table) -> "tuple[Forecaster, Windows]":
    from toolkit.evaluation import forecaster_of_bundle, forecaster_of_run, own_table, table_of
    from toolkit.training import Run

    if isinstance(opened, Run):
        return forecaster_of_run(opened), own_table(opened, where.file, where.reading)
    forecaster = forecaster_of_bundle(opened)
    return forecaster, table_of(forecaster, *_of_bundle(where), where.asset, reading=where.reading)


def _classifier(opened: "Run | Bundle", where: _Table) -> "tuple[Classifier, LabelledWindows]":
    from toolkit.evaluation import classifier_of_bundle, classifier_of_run, labelled, own_labelled
    from toolkit.training import Run

    if isinstance(opened, Run):
        return classifier_of_run(opened), own_labelled(opened, where.file, where.reading)
    if where.label is None:
        raise ConfigError("a classifier is evaluated on labels", got="none", fix="--label COLUMN")
    classifier = classifier_of_bundle(opened)
    return classifier, labelled(classifier, *_of_bundle(where), where.label, where.asset, reading=where.reading)
