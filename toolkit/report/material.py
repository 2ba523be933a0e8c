"""What a report is made from: each source's contents under the name that the page calls it by."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassTrainingReport
from toolkit.contract.comparison_reports import ComparisonReport
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.manifest import BundleManifest
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.parity_reports import ParityReport
from toolkit.contract.picture_reports import DataReport
from toolkit.contract.profile_reports import Profile
from toolkit.contract.readiness_reports import ReadinessReport
from toolkit.contract.reports import Errors, EvaluationReport, Scores, TrainingReport
from toolkit.contract.signals import SignalSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Named(Generic[T]):
    """A report and the name of the file that it was read from."""

    name: str
    report: T


@dataclass(frozen=True)
class Epoch:
    """One line of a run's `metrics.jsonl`; losses are of the configured kind, in standard deviations."""

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    best: bool


@dataclass(frozen=True)
class TableFacts:
    """Which table a run was trained on, as `run.json` says it."""

    file_name: str
    sha256: str
    rows: int
    assets: int
    dropped_rows: int = 0
    filled: dict[str, int] = field(default_factory=dict)
    merged_rows: int = 0
    bad_quality: int = 0


@dataclass(frozen=True)
class RunFacts:
    """What is shown of `run.json`."""

    name: str
    model: ModelSpec
    signal: SignalSpec
    data: TableFacts
    files: dict[str, str]
    schema: str


@dataclass(frozen=True)
class RunSource:
    """A run folder without its reports.

    Attributes:
        facts: of `run.json`.
        config_toml: the text of its configuration.
        config_sha256: of that text's bytes, by which a bundle names the run it was made from.
        epochs: as they were trained.
    """

    facts: RunFacts
    config_toml: str
    config_sha256: str
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class RecordedAccuracy:
    """What a bundle's manifest holds of its training report, for a forecaster."""

    test: Errors
    test_standardised: Errors
    per_target: dict[str, Errors]
    baselines: dict[str, Scores]
    verdict: str = ""
    streaming: Scores | None = None


@dataclass(frozen=True)
class RecordedClassAccuracy:
    """The same of a classifier."""

    classes: tuple[str, ...]
    model: ClassScores
    baselines: dict[str, ClassScores]
    verdict: str = ""


@dataclass(frozen=True)
class BundleSource:
    """A bundle's manifest.

    Attributes:
        manifest: its contents.
        digest: SHA-256 of its bytes.
        accuracy: what it says of the errors; None where that is nothing or of another form.
        class_accuracy: the same of a classifier.
    """

    manifest: BundleManifest
    digest: str
    accuracy: RecordedAccuracy | None = None
    class_accuracy: RecordedClassAccuracy | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether it was made from a module of somebody's own and not from a run."""
        return self.manifest.model is None


@dataclass(frozen=True)
class Material:
    """Everything that was read; a report of each kind stands as often as it was given."""

    run: RunSource | None = None
    bundle: BundleSource | None = None
    data: tuple[Named[DataReport], ...] = ()
    training: tuple[Named[TrainingReport], ...] = ()
    class_training: tuple[Named[ClassTrainingReport], ...] = ()
    evaluations: tuple[Named[EvaluationReport], ...] = ()
    class_evaluations: tuple[Named[ClassEvaluationReport], ...] = ()
    parity: tuple[Named[ParityReport], ...] = ()
    latency: tuple[Named[LatencyReport], ...] = ()
    comparisons: tuple[Named[ComparisonReport], ...] = ()
    profiles: tuple[Named[Profile], ...] = ()
    readiness: tuple[Named[ReadinessReport], ...] = ()

    @property
    def name(self) -> str:
        """What the report is about."""
        if self.bundle is not None:
            return self.bundle.manifest.name
        if self.run is not None:
            return self.run.facts.name
        measured: tuple[Named[Any], ...] = (*self.latency, *self.readiness)
        scored: tuple[Named[Any], ...] = (*self.evaluations, *self.class_evaluations)
        named = [*(one.report.bundle.get("name", "") for one in measured), *(one.report.name for one in scored)]
        return next(filter(None, named), "model")

    @property
    def model(self) -> ModelSpec | None:
        """The shape of the model, where a source tells it."""
        if self.bundle is not None:
            return self.bundle.manifest.model
        return None if self.run is None else self.run.facts.model

    @property
    def signal(self) -> SignalSpec | None:
        """The meaning of its channels, where a source tells it."""
        if self.bundle is not None:
            return self.bundle.manifest.signal
        return None if self.run is None else self.run.facts.signal

    @property
    def environments(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """By the name of the source, the machine and versions that it was made with."""
        kinds = (
            *(self.training, self.class_training, self.evaluations, self.class_evaluations),
            *(self.parity, self.latency, self.profiles, self.readiness),
        )
        return tuple((one.name, one.report.environment) for kind in kinds for one in kind)

    def unit_of(self, channel: str) -> str:
        """The unit of a channel; "" where no source tells it."""
        signal = self.signal
        if signal is None:
            return ""
        return next((one.unit for one in signal.channels if one.name == channel), "")


def label(kind: "tuple[Named[Any], ...]", one: "Named[Any]") -> str:
    """The source's name where there is more than one of its kind, else nothing."""
    return one.name if len(kind) > 1 else ""
