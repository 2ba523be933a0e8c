"""The `gateway.toml` that `gateway init` writes: what the bundle says is filled in, every default is shown.

Which variable stands where is copied from the manifest, because mapping by hand swaps variables. A line that begins
with `#` and a key is the default of that key, read from `settings`, so that taking the mark away changes nothing; one
that begins with `#` and a blank is prose.
"""

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.contract.signals import SignalSpec
from toolkit.edge.columns import Column, columns_of
from toolkit.edge.settings import (
    Broker,
    InputSettings,
    JournalSettings,
    OutputSettings,
    SignalSettings,
    Tls,
    TrialSettings,
    WatchSettings,
)

PASSWORD = "MQTT_PASSWORD"
"""The environment variable or systemd credential that the password is read from."""
VALUE = "value"
"""The key of the reading where a message carries one variable."""
_WIDTH = 100
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

BROKER = {
    "host": "Name or address.",
    "port": "8883 is usual with TLS.",
    "client_id": "Unique at the broker: it keeps what comes while the gateway is away under this name.",
    "username": "",
    "password": f"Read from the environment or from a systemd credential; see LoadCredential={PASSWORD} in the unit.",
    "tls": "",
    "keepalive_s": "A silence of the broker after which the link counts as lost.",
    "session_expiry_s": "For how long the broker keeps messages for a gateway that is away.",
    "receive_maximum": "Messages that may wait for their acknowledgement.",
    "connect_timeout_s": "",
    "reconnect_min_s": "The first pause before a new try; each further one is twice as long, at random within it.",
    "reconnect_max_s": "",
}
TLS = {
    "ca_file": 'PEM file of the authorities to trust; "" means the system\'s.',
    "certificate_file": "PEM file of the gateway's own certificate, where the broker wants one.",
    "key_file": "PEM file of its key.",
    "server_name": 'The name in the broker\'s certificate; "" means the host above.',
}
INPUT = {
    "topic": "",
    "columns": "",
    "time": "The key of the time at which it was measured.",
    "time_format": "iso8601 (without a zone: UTC), seconds, milliseconds, microseconds or nanoseconds since 1970.",
    "sequence": "The key of the source's own number of the sample: tells a repeated message from a new one.",
    "samples": "The key of an array of samples, where a message holds several.",
    "asset": "The key of the asset's name, where the topic does not hold {asset}.",
    "qos": "0 is not protected: what is under way is lost with the link.",
}
OUTPUT = {
    "topic": "",
    "status_topic": "Where online and offline stand, retained.",
    "max_messages": "Forecasts that may wait for the broker.",
    "max_bytes": "",
    "max_age_s": "After which a waiting forecast is worth nothing.",
    "when_full": "What gives way: drop_oldest, drop_newest, or block, which holds up the input.",
}
SIGNAL = {
    "lateness_s": "How far a reading may lie behind newer ones of its asset: intervals wait that long for it.",
    "patience_s": "How far the others may be ahead of a silent sensor before intervals close without it.",
    "silence_s": "After which an asset that sends nothing has its open intervals closed.",
    "max_ahead_s": "A reading further ahead must be confirmed by another.",
    "max_assets": "",
    "max_open_readings": "Readings of one asset in intervals that are not closed.",
    "graph": "auto, windowed or streaming.",
}
JOURNAL = {
    "folder": '"" means systemd\'s StateDirectory; without systemd a folder must be named here.',
    "commit_interval_s": "The longest that a message waits for its acknowledgement.",
    "forecast_wait_s": "The longest that an asset that is due waits for others, to share one call and one commit.",
}
WATCH = {
    "address": "Loopback: nobody else may read the metrics.",
    "port": "Of /metrics and /v2/health/...; 0 serves nothing.",
    "log_level": "debug, info, warning or error. SIGHUP reads it, and the limits, again.",
    "assets_in_metrics": "Assets with error and skill of their own; the others are in the totals alone.",
}
TRIAL = {"memory_bytes": "Of the child process that tries the bundle first.", "time_s": ""}


class _Reference:
    """What stands for the password."""

    text = f"${{{PASSWORD}}}"


def gateway_toml(signal: SignalSpec, bundle: Path, *, name: str, client_id: str, journal: str = "") -> str:
    """The text of `gateway.toml`.

    Args:
        signal: of the bundle.
        bundle: its folder, absolute.
        name: the bundle's, for the reader.
        client_id: of the gateway at the broker.
        journal: its folder, absolute or relative to the file; "" leaves it to systemd.
    """
    client, status = {"client_id": client_id}, {"status_topic": f"{client_id}/status"}
    waits = {"patience_s": signal.interval_s, "silence_s": 2 * signal.interval_s}
    parts = [
        _comment(
            f"Written by lstm-edge gateway init for the bundle {name}. A line that begins with # and a key shows its "
            "default. Any text may hold ${NAME}, which is read from the environment or from a systemd credential."
        ),
        _top(bundle),
        *_inputs(signal),
        _table("broker", Broker(), BROKER, chosen=client, shown={"password": _Reference()}),
        _comment("Without this table the connection is in clear.") + "\n" + _table("broker.tls", Tls(), TLS, mark="#"),
        _table("output", OutputSettings(), OUTPUT, chosen=status),
        _table("signal", SignalSettings(), SIGNAL, shown=waits),
        _limits(signal),
        _table("journal", JournalSettings(), JOURNAL, chosen={"folder": journal} if journal else {}),
        _table("watch", WatchSettings(), WATCH),
        _table("trial", TrialSettings(), TRIAL),
    ]
    return "\n\n".join(parts) + "\n"


def topics_of(signal: SignalSpec) -> dict[str, tuple[Column, ...]]:
    """The topics that are proposed, each with the columns that its messages carry.

    Raw samples come one variable to a message, rows come whole. A name that MQTT would not take in a topic is changed
    there, and in no other place.
    """
    columns = columns_of(signal)
    if signal.sampling == "rows":
        return {"plant/{asset}": columns}
    topics: dict[str, tuple[Column, ...]] = {}
    for column in columns:
        level = re.sub(r"[^\w.-]", "-", column.name) or "-"
        alike = (f"plant/{{asset}}/{level}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, len(columns) + 1))))
        topics[next(topic for topic in alike if topic not in topics)] = (column,)
    return topics


def _top(bundle: Path) -> str:
    return "\n".join(
        [
            f"bundle = {_value(str(bundle))}",
            _default("session_file", "", "Of lstm-edge tune-session."),
            _default("max_payload_bytes", 256 * 1024, "Larger messages are refused unread."),
        ]
    )


def _inputs(signal: SignalSpec) -> Iterable[str]:
    """One `[[input]]` for each topic; what may be set besides is told with the first alone."""
    shown = {field.name: field.default for field in dataclasses.fields(InputSettings)}
    further = [_default(key, shown[key], text) for key, text in INPUT.items() if key not in ("topic", "columns")]
    yield _comment(_payloads(signal))
    for topic, columns in topics_of(signal).items():
        lines = ["[[input]]", f"topic = {_value(topic)}", *further, "[input.columns]"]
        further = []
        for column in columns:
            field = VALUE if signal.sampling == "samples" else column.name
            lines += [*_made_of(column), f"{_key(column.name)} = {_source(field, column.unit)}"]
        yield "\n".join(lines)


def _payloads(signal: SignalSpec) -> str:
    columns = columns_of(signal)
    if signal.sampling == "samples":
        sample = json.dumps({"time": "2026-01-05T00:00:00.5Z", VALUE: 1.0})
        what = f"Raw samples, one to a message, such as {sample}; features are made every {signal.interval_s:g} s"
        what += f" of at least {signal.min_samples} of them." if signal.min_samples > 1 else "."
    else:
        names = [column.name for column in columns]
        sample = json.dumps({"time": "2026-01-05T00:00:00Z", **dict.fromkeys(names[:2], 1.0)}, ensure_ascii=False)
        more = ", and so on" if len(names) > 2 else ""
        what = f"A row of readings to a message, every {signal.interval_s:g} s, such as {sample}{more}."
    return (
        f"{what} The names on the left are the bundle's; field, and unit where it differs, say what the source sends."
    )


def _made_of(column: Column) -> list[str]:
    return [_comment(f"{column.name}: {', '.join(column.features)}")] if column.features else []


def _source(field: str, unit: str) -> str:
    return f"{{ field = {_value(field)}, unit = {_value(unit)} }}" if unit else _value(field)


def _limits(signal: SignalSpec) -> str:
    """Examples: what a sensor may read, nobody but its owner knows."""
    lines = [
        _comment(
            "What a column may read, in its unit, and what stands where it has no reading: break, hold:N or "
            "impute:VALUE. The numbers are examples."
        )
    ]
    for place, column in enumerate(columns_of(signal)):
        lines.append(_commented(f"[limits.{_key(column.name)}]" + (f"  # {column.unit}" if column.unit else "")))
        if place == 0:
            gap = signal.channels[column.channels[0]].gap
            missing = "break" if gap.startswith("interpolate") else gap
            lines += ["# minimum = -40.0", "# maximum = 120.0", f"# missing = {_value(missing)}"]
    return "\n".join(lines)


def _table(
    name: str,
    defaults: Any,
    texts: Mapping[str, str],
    *,
    chosen: Mapping[str, object] | None = None,
    shown: Mapping[str, object] | None = None,
    mark: str = "",
) -> str:
    """A table: what is chosen is set, everything else is shown with its default, or with what `shown` has for it."""
    chosen, shown = chosen or {}, shown or {}
    lines = [f"{mark}[{name}]"]
    for key, text in texts.items():
        value = shown.get(key, getattr(defaults, key))
        if key in chosen:
            lines += [*_texts(text), f"{key} = {_value(chosen[key])}"]
        elif value is not None:
            lines.append(_default(key, value, text))
    return "\n".join(lines)


def _default(key: str, value: object, text: str) -> str:
    return "\n".join([*_texts(text), f"#{key} = {_value(value)}"])


def _texts(text: str) -> list[str]:
    return [_comment(text)] if text else []


def _comment(text: str) -> str:
    """A name from a manifest may hold any mark, and a comment ends at the first that breaks a line."""
    lines: Sequence[str] = textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False) or [""]
    return "\n".join(_commented(line) for line in lines)


def _commented(line: str) -> str:
    return "# " + "".join(mark if mark.isprintable() else "?" for mark in line)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _value(value: object) -> str:
    """TOML for a text that means itself, or a number."""
    if isinstance(value, _Reference):
        return _quoted(value.text)
    if isinstance(value, str):
        return _quoted(value.replace("$", "$$"))
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    """JSON's escapes are TOML's, but TOML wants DEL escaped too, and no half of a surrogate pair."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
