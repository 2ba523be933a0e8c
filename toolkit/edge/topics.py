"""Topics with the name of an asset as one of their levels.

`plant/{asset}/temperature` matches every topic of three levels that begins and ends so, and the level in the middle is
the asset. MQTT's own wildcards are no part of a pattern: a gateway must know whose message it reads.
"""

from toolkit.errors import ConfigError

ASSET = "{asset}"
LONGEST_NAME = 128
"""Bytes of an asset's name: it is a level of topics, a label of metrics and a key of the journal."""
LONGEST_TOPIC = 65_535
"""Bytes, as MQTT counts them; a pattern must leave room for the name."""


class TopicPattern:
    """A topic of which at most one level is `{asset}`.

    Args:
        text: e.g. `plant/{asset}/temperature`.
        where: the name of the setting, for messages.

    Attributes:
        text: as it was given.
        names_asset: whether `{asset}` is in it.
        subscription: the filter to subscribe to, with `+` for the asset.

    Raises:
        ConfigError: it is empty or too long, begins with `$`, has a wildcard or a character that cannot be shown, or
            has `{asset}` twice or beside other text.
    """

    def __init__(self, text: str, where: str = "topic") -> None:
        levels = text.split("/")
        _check(text, levels, where)
        self.text = text
        self.names_asset = ASSET in levels
        self.subscription = "/".join("+" if level == ASSET else level for level in levels)
        before, _, after = text.partition(ASSET)
        self._before, self._after = before, after
        self._fixed = len(before) + len(after)

    def asset(self, topic: str) -> str | None:
        """The asset that a topic is of, "" where the pattern names none, None where the topic is not of the pattern.

        What stands in the asset's place is not looked at: see `is_asset_name`.
        """
        if not self.names_asset:
            return "" if topic == self.text else None
        if len(topic) < self._fixed or not topic.startswith(self._before) or not topic.endswith(self._after):
            return None
        name = topic[len(self._before) : len(topic) - len(self._after)]
        return None if "/" in name else name

    def fill(self, asset: str) -> str:
        """The topic of an asset, whose name must be one by `is_asset_name`."""
        return self._before + asset + self._after if self.names_asset else self.text

    def overlaps(self, other: "TopicPattern") -> bool:
        """Whether some topic is of both patterns."""
        own, others = self.text.split("/"), other.text.split("/")
        pairs = zip(own, others, strict=False)
        return len(own) == len(others) and all(ASSET in pair or pair[0] == pair[1] for pair in pairs)


def is_asset_name(text: str) -> bool:
    """Whether it can be the name of an asset.

    It can with 1 to 128 bytes of UTF-8, all of them printable, no `/`, `+` or `#`, and no `$` in front, which MQTT
    keeps for itself.
    """
    return (
        0 < len(text) <= LONGEST_NAME
        and text.isprintable()  # no NUL, and no lone surrogate, which has no bytes
        and len(text.encode()) <= LONGEST_NAME
        and not text.startswith("$")
        and not any(mark in text for mark in "/+#")
    )


def _check(text: str, levels: list[str], where: str) -> None:
    got = repr(text)
    if not text or not text.isprintable() or len(text.encode()) > LONGEST_TOPIC - LONGEST_NAME:
        raise ConfigError(where, got=got, allowed="a topic of printable characters, not empty and below 64 KB")
    if "+" in text or "#" in text:
        raise ConfigError(f"{where} has a wildcard", got=got, allowed=f"plain levels and {ASSET}", fix=f"plant/{ASSET}")
    if text.startswith("$"):
        raise ConfigError(f"{where} begins with a $", got=got, allowed="topics that are not the broker's own")
    if levels.count(ASSET) > 1:
        raise ConfigError(f"{where} names the asset twice", got=got, allowed=f"{ASSET} once")
    if any(("{" in level or "}" in level) and level != ASSET for level in levels):
        allowed = f"{ASSET} as a whole level, no other braces"
        raise ConfigError(f"{where} has a brace within a level", got=got, allowed=allowed, fix=f"plant/{ASSET}/value")
