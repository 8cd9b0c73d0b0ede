"""Values as text: durations, configurations, and strings without control characters."""

from __future__ import annotations

from collections.abc import Mapping

from hpdist.core.model.values import JsonValue

_MAX_CHARACTERS = 200


def clean(text: str, longest: int = _MAX_CHARACTERS) -> str:
    """Return ``text`` with all control characters escaped.

    Control characters, line ends and characters that change the direction of writing become
    escapes; text beyond ``longest`` characters is cut off.
    """
    kept = text[: longest + 1]
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in kept)
    return escaped if len(escaped) <= longest else escaped[: longest - 3] + "..."


def duration(seconds: float) -> str:
    """Write a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rough_duration(seconds: float) -> str:
    """Write an estimated duration, rounded to minutes or less."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def configuration(config: Mapping[str, JsonValue], longest: int = _MAX_CHARACTERS) -> str:
    """Write a configuration on one line."""
    values = (f"{name}={_value(value)}" for name, value in config.items())
    return clean(" ".join(values), longest)


def counted(number: int, noun: str) -> str:
    """Write a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _value(value: JsonValue) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
