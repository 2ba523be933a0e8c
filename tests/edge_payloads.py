"""What tests of the reader of payloads share: columns, one input, and a message read."""

import json

from toolkit.edge.columns import Column
from toolkit.edge.payloads import PayloadReader
from toolkit.edge.readings import ParsedMessage, Reason
from toolkit.edge.settings import FieldSettings, InputSettings

COLUMNS = (
    Column("temperature", "degC", (0, 1), ("mean", "std")),
    Column("pressure", "Pa", (2,), ("mean",)),
    Column("speed", "", (3,), ("count",)),
)
TEMPERATURE = InputSettings("plant/{asset}/t", {"temperature": FieldSettings("value")}, time_format="microseconds")
TOPIC = "plant/pump-1/t"
T = 10**15
"""A time in microseconds."""


def reader(*inputs: InputSettings, limits: dict | None = None, most: int = 100_000) -> PayloadReader:
    return PayloadReader(inputs or (TEMPERATURE,), COLUMNS, limits or {}, most)


def one_input(columns: dict[str, FieldSettings], **settings) -> InputSettings:
    return InputSettings("plant/{asset}/t", columns, **{"time_format": "microseconds", **settings})


def read(payload: object, *inputs: InputSettings, limits: dict | None = None, topic: str = TOPIC) -> ParsedMessage:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return reader(*inputs, limits=limits).read(topic, content)


def values(message: ParsedMessage) -> list[float]:
    assert not message.refused
    return [reading.value for reading in message.readings]


def refusals(message: ParsedMessage) -> list[Reason]:
    assert not message.readings
    return [refusal.reason for refusal in message.refused]
