"""What `gateway.toml` says, once it has been read: every value checked, every secret out of sight.

Names follow MQTT, Prometheus and systemd where those have names. Durations are in seconds, sizes in bytes. A value that
is out of range is a `ConfigError` of the class that it is given to; whether inputs, outputs and columns fit together is
for `settings_file` to say.
"""

import math
from dataclasses import field
from typing import Any, Literal

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import gap_policy
from toolkit.edge.topics import ASSET, TopicPattern
from toolkit.errors import ConfigError

TimeFormat = Literal["iso8601", "seconds", "milliseconds", "microseconds", "nanoseconds"]
FullPolicy = Literal["drop_oldest", "drop_newest", "block"]

SHORTEST_S = 0.001
LONGEST_S = 10 * 366 * 86_400.0
"""Ten years: no setting means a longer time, and all of them fit into 64 bits as microseconds."""
LARGEST_PAYLOAD = 268_435_455
"""Bytes of the largest message that MQTT carries."""
MOST = 1 << 40
"""Of whatever is counted."""
LARGEST_FLOAT32 = 3.4028234663852886e38
"""What the model's numbers can hold; anything beyond is infinite to it."""


@dataclass(frozen=True)
class Tls:
    """How the broker is known, and how the gateway is.

    Attributes:
        ca_file: PEM file of the authorities to trust; "" means the system's. All files may be relative to the settings.
        certificate_file: PEM file of the gateway's own certificate, or "".
        key_file: PEM file of its key, or "".
        server_name: the name that the broker's certificate must carry; "" means the host's.
    """

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate_file) != bool(self.key_file):
            got = "certificate_file alone" if self.certificate_file else "key_file alone"
            raise ConfigError("broker.tls", got=got, allowed="certificate_file and key_file, or neither")


@dataclass(frozen=True)
class Broker:
    """The connection.

    Attributes:
        host: name or address.
        port: 1 to 65535.
        client_id: unique at the broker; it is what the broker keeps the session under.
        username: "" for none.
        password: "" for none. A file holds `${NAME}` here, which stands in the environment or among systemd's
            credentials.
        tls: None means that the connection is in clear.
        keepalive_s: after which silence the link counts as lost (MQTT Keep Alive).
        session_expiry_s: for how long the broker keeps the session of a gateway that is away (MQTT Session Expiry).
        receive_maximum: messages that may wait for their acknowledgement (MQTT Receive Maximum).
        connect_timeout_s: after which a connection that does not come about is given up.
        reconnect_min_s: pause before the first new try; each further one is twice as long, drawn at random within it.
        reconnect_max_s: the longest pause.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 86_400
    receive_maximum: int = 1000
    connect_timeout_s: float = 5.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0

    def __post_init__(self) -> None:
        _in_range(self, "broker", "port", 1, 65_535)
        _in_range(self, "broker", "keepalive_s", 1, 65_535)
        _in_range(self, "broker", "session_expiry_s", 1, 0xFFFF_FFFF)
        _in_range(self, "broker", "receive_maximum", 1, 65_535)
        _in_range(self, "broker", "connect_timeout_s", SHORTEST_S, 3600.0)
        _in_range(self, "broker", "reconnect_min_s", SHORTEST_S, 86_400.0)
        _in_range(self, "broker", "reconnect_max_s", self.reconnect_min_s, 86_400.0)
        if not self.host or not self.host.isprintable():
            raise ConfigError("broker.host", got=repr(self.host), allowed="a name or an address")
        for name in ("client_id", "username", "password"):
            if "\0" in getattr(self, name) or len(getattr(self, name)) > 16_000:
                raise ConfigError(f"broker.{name}", allowed="at most 16000 characters, none of them NUL")


@dataclass(frozen=True)
class FieldSettings:
    """Where a column stands in a payload.

    Attributes:
        field: the key of the JSON object; dots lead into objects within.
        unit: in which the source sends it; "" means the column's own.
        unit_field: the key under which the source names the unit with every sample, or "". A sample without it is in
            `unit`, and is refused where that is "".
    """

    field: str
    unit: str = ""
    unit_field: str = ""


@dataclass(frozen=True)
class InputSettings:
    """One kind of message.

    Attributes:
        topic: a pattern: levels are plain or `{asset}`, e.g. `plant/{asset}/temperature`.
        columns: by the names of the bundle's columns, which of them a message carries and where.
        time: the key of the time at which it was measured.
        time_format: how that is written. ISO 8601 without a zone is UTC.
        sequence: the key of the source's own number of the sample, or "". A sample without it is then refused.
        samples: the key of an array of samples, "" where a payload is one sample or is itself an array.
        asset: the key of the asset's name where the topic does not hold it, or "". All samples of a message are of one.
        qos: 0, 1 or 2, of the subscription. 0 is not protected: what is under way is lost with the link.
    """

    topic: str
    columns: dict[str, FieldSettings]
    time: str = "time"
    time_format: TimeFormat = "iso8601"
    sequence: str = ""
    samples: str = ""
    asset: str = ""
    qos: int = 1

    def __post_init__(self) -> None:
        names_asset = TopicPattern(self.topic, "input.topic").names_asset
        if names_asset == bool(self.asset):
            got = f"{self.topic!r} and asset = {self.asset!r}"
            allowed = f"{ASSET} in the topic, or input.asset with its key in the payload"
            raise ConfigError("an input names its asset once", got=got, allowed=allowed)
        if not self.columns:
            raise ConfigError(f"input.columns of the topic {self.topic!r}", got="none", allowed="at least one column")
        fields = {f"columns.{name}": one.field for name, one in self.columns.items()}
        for name, text in {"time": self.time, **fields}.items():
            if not text:
                raise ConfigError(f"input.{name}", got="''", allowed="a key of the payload")
        if len(set(fields.values())) < len(fields):
            raise ConfigError("input.columns: two columns are read from one key", got=list(fields.values()))
        _in_range(self, "input", "qos", 0, 2)


@dataclass(frozen=True)
class OutputSettings:
    """Where forecasts go.

    Attributes:
        topic: a pattern, with `{asset}` unless all forecasts go to one topic.
        status_topic: where `online` and `offline` stand, retained.
        max_messages: forecasts that may wait for the broker.
        max_bytes: of their payloads together.
        max_age_s: after which a waiting forecast is worth nothing.
        when_full: what gives way: the oldest, the newest, or the input.
    """

    topic: str = "forecast/{asset}"
    status_topic: str = ""
    max_messages: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float = 7 * 86_400.0
    when_full: FullPolicy = "drop_oldest"

    def __post_init__(self) -> None:
        TopicPattern(self.topic, "output.topic")
        if self.status_topic and TopicPattern(self.status_topic, "output.status_topic").names_asset:
            raise ConfigError("output.status_topic", got=repr(self.status_topic), allowed="one topic, of the gateway")
        _in_range(self, "output", "max_messages", 1, MOST)
        _in_range(self, "output", "max_bytes", 1, MOST)
        _in_range(self, "output", "max_age_s", SHORTEST_S, LONGEST_S)


@dataclass(frozen=True)
class SignalSettings:
    """What the bundle's signal does not say: how long to wait for what comes late.

    Attributes:
        lateness_s: how far, in the source's time, a reading may lie behind those of the same asset that came before.
        patience_s: how far the others may be ahead of a silent column before intervals close without it; None means
            one interval.
        silence_s: after which an asset that sends nothing at all has its open intervals closed; None means two
            intervals.
        max_ahead_s: a reading further ahead than that must be confirmed by another.
        max_assets: assets that are taken.
        max_open_readings: readings of one asset in intervals that are not closed.
        graph: which graph is run; `auto` takes the streaming one where its state may be carried on without end.
    """

    lateness_s: float = 0.0
    patience_s: float | None = None
    silence_s: float | None = None
    max_ahead_s: float = 86_400.0
    max_assets: int = 10_000
    max_open_readings: int = 1_000_000
    graph: Literal["auto", "windowed", "streaming"] = "auto"

    def __post_init__(self) -> None:
        _in_range(self, "signal", "lateness_s", 0.0, LONGEST_S)
        _in_range(self, "signal", "patience_s", 0.0, LONGEST_S)
        _in_range(self, "signal", "silence_s", SHORTEST_S, LONGEST_S)
        _in_range(self, "signal", "max_ahead_s", SHORTEST_S, LONGEST_S)
        _in_range(self, "signal", "max_assets", 1, 1_000_000)
        _in_range(self, "signal", "max_open_readings", 1, MOST)


@dataclass(frozen=True)
class MissingPolicy:
    """What stands in a closed interval where a column has no reading.

    Attributes:
        kind: `break` ends the series, `hold` repeats what came before, `impute` puts a number.
        limit: intervals for which `hold` does so.
        value: the number of `impute`, in the column's unit.
    """

    kind: Literal["break", "hold", "impute"]
    limit: int = 0
    value: float = 0.0


def missing_policy(text: str, where: str) -> MissingPolicy:
    """Reads `break`, `hold:N` or `impute:VALUE`.

    Raises:
        ConfigError: with the place `where`: it is none of them.
    """
    kind, _, number = text.partition(":")
    if kind == "impute" and number.isascii() and not any(mark.isspace() or mark == "_" for mark in number):
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if abs(value) <= LARGEST_FLOAT32:
            return MissingPolicy("impute", value=value)
    elif kind in ("break", "hold"):
        policy = gap_policy(text, where, ConfigError)
        return MissingPolicy("hold", policy.limit) if policy.kind == "hold" else MissingPolicy("break")
    raise ConfigError(where, got=repr(text), allowed="break, hold:N or impute:VALUE", fix="hold:3")


@dataclass(frozen=True)
class ColumnLimits:
    """What a column's readings may be, and what stands where there is none.

    Attributes:
        minimum: in the column's unit; a reading below is refused. None means no limit.
        maximum: the same above.
        missing: `break`, `hold:N` or `impute:VALUE`; "" means what the bundle was trained with.
    """

    minimum: float | None = None
    maximum: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class JournalSettings:
    """Where and how often everything is made durable.

    Attributes:
        folder: the journal's, absolute, or relative to the file; "" means systemd's state directory.
        commit_interval_s: the longest that a message waits for its acknowledgement.
        forecast_wait_s: the longest that an asset that is due waits for others, to share one call and one commit.
    """

    folder: str = ""
    commit_interval_s: float = 1.0
    forecast_wait_s: float = 0.02

    def __post_init__(self) -> None:
        _in_range(self, "journal", "commit_interval_s", SHORTEST_S, 3600.0)
        _in_range(self, "journal", "forecast_wait_s", 0.0, 60.0)


@dataclass(frozen=True)
class WatchSettings:
    """How the gateway is watched.

    Attributes:
        address: where `/metrics` and `/v2/health/...` are served; loopback unless it says otherwise.
        port: 0 means that nothing is served.
        log_level: `debug`, `info`, `warning` or `error`.
        assets_in_metrics: assets that have series of their own; the others are in the totals alone.
    """

    address: str = "127.0.0.1"
    port: int = 9273
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    assets_in_metrics: int = 100

    def __post_init__(self) -> None:
        _in_range(self, "watch", "port", 0, 65_535)
        _in_range(self, "watch", "assets_in_metrics", 0, 1_000_000)
        if not self.address or not self.address.isprintable():
            raise ConfigError("watch.address", got=repr(self.address), allowed="a name or an address")


@dataclass(frozen=True)
class TrialSettings:
    """What a bundle may take in its first run, which a child process makes.

    Attributes:
        memory_bytes: address space of the child beyond what an empty one has.
        time_s: processor and wall time.
    """

    memory_bytes: int = 1 << 30
    time_s: float = 60.0

    def __post_init__(self) -> None:
        _in_range(self, "trial", "memory_bytes", 1 << 20, MOST)
        _in_range(self, "trial", "time_s", SHORTEST_S, 3600.0)


@dataclass(frozen=True)
class Settings:
    """All of `gateway.toml`.

    Attributes:
        bundle: the bundle's folder, absolute, or relative to the file.
        inputs: `[[input]]`.
        broker: `[broker]`.
        output: `[output]`.
        signal: `[signal]`.
        limits: `[limits.COLUMN]`.
        journal: `[journal]`.
        watch: `[watch]`.
        trial: `[trial]`.
        session_file: of `lstm-edge tune-session`, or "".
        max_payload_bytes: larger messages are refused unread.
    """

    bundle: str
    inputs: tuple[InputSettings, ...]
    broker: Broker = field(default_factory=Broker)
    output: OutputSettings = field(default_factory=OutputSettings)
    signal: SignalSettings = field(default_factory=SignalSettings)
    limits: dict[str, ColumnLimits] = field(default_factory=dict)
    journal: JournalSettings = field(default_factory=JournalSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    trial: TrialSettings = field(default_factory=TrialSettings)
    session_file: str = ""
    max_payload_bytes: int = 256 * 1024

    def __post_init__(self) -> None:
        _in_range(self, "", "max_payload_bytes", 1, LARGEST_PAYLOAD)
        if not self.bundle:
            raise ConfigError("bundle", got="''", allowed="the bundle's folder")
        for column, limits in self.limits.items():
            _check_limits(f"limits.{column}", limits)


def _check_limits(where: str, limits: ColumnLimits) -> None:
    low = -math.inf if limits.minimum is None else limits.minimum
    high = math.inf if limits.maximum is None else limits.maximum
    if low > high:
        raise ConfigError(f"{where}: minimum above maximum", got=f"{low} above {high}")
    policy = missing_policy(limits.missing, f"{where}.missing") if limits.missing else MissingPolicy("break")
    if policy.kind == "impute" and not low <= policy.value <= high:
        raise ConfigError(f"{where}.missing", got=repr(limits.missing), allowed=f"a value from {low} to {high}")


def _in_range(settings: Any, table: str, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{table}.{name}".lstrip("."), got=value, allowed=f"{low:.12g} to {high:.12g}")
