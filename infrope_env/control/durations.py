"""Durations of shots, "[5s]" and "[5s#]", and what looks like one but is written in another way."""

from __future__ import annotations

import re

DURATION = re.compile(r"\[(\d+(?:\.\d*)?)\s*s(#?)\]")
UNITS = {"h": 3600, "m": 60, "s": 1}
"""Seconds of a unit, by its first letter."""

_BRACKETS = re.compile(r"[\[({［（【]([^\[\](){}［］（）【】]{1,60})[\])}］）】]")
_OPEN = re.compile(r"\[([#\s]*[\d.,:]+\s*(?:s|secs?|seconds?)?[#\s]*)$", re.IGNORECASE)
_CLOSED = re.compile(r"(?:^|\s)(#?[\d.,:]+\s*(?:s|secs?|seconds?)[\s#]*)\]", re.IGNORECASE)
_NUMBER = r"(?:\d++(?:[.,]\d*+)?|[.,]\d++)(?:e[-+]?\d++)?+"  # possessive: no digits are tried twice
_UNIT = r"hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s"
_TIME = re.compile(rf"(?P<sign>[-+]?)(?:(?P<clock>\d++(?::\d++)++)(?:{_UNIT})?|(?:{_NUMBER}(?:{_UNIT})?+)++)")
_PART = re.compile(rf"({_NUMBER})({_UNIT})?")
_LONE_HASH = re.compile(r"^#(?!\d)|#(?!\w)")


def almost_a_duration(text: str) -> tuple[str, str] | None:
    """Return what looks like a duration in a prompt, and how to write it: ("[1m30s]", "[90s]"); None without one.

    Args:
        text: A prompt from which every `DURATION` was removed.
    """
    for found in _BRACKETS.finditer(text):
        if mend := _mend(found[1], needs_unit=found[0][0] != "["):
            return found[0], mend
    for pattern in (_OPEN, _CLOSED):
        if (loose := pattern.search(text)) and (mend := _mend(loose[1], needs_unit=False)):
            return loose[0].strip(), mend
    return None


def has_lone_hash(text: str) -> bool:
    """Return whether a prompt has a "#" that looks like a cut outside the brackets, not "#1" or "#sunset" inside it."""
    return _LONE_HASH.search(text) is not None


def _mend(inside: str, needs_unit: bool) -> str | None:
    """Return the duration that brackets with this inside look like, or None.

    Args:
        inside: The text between the brackets.
        needs_unit: A number without a unit or a "#", as in "(2019)", "(16:9)" and "(100m)", is no duration.
    """
    cut = "#" if "#" in inside else ""
    plain = re.sub(r"[\s#]", "", inside).lower()
    time = _TIME.fullmatch(plain)
    if time is None or (needs_unit and not cut and not re.search(r"\d(?:s|min)", plain)):
        return None
    seconds = 0.0
    if clock := time["clock"]:
        for part in clock.split(":"):
            seconds = 60 * seconds + float(part)
    else:
        for number, unit in _PART.findall(plain):
            seconds += float(number.rstrip(".,").replace(",", ".")) * UNITS[(unit or "s")[0]]
    return f"[{seconds:.15g}s{cut}]" if 0 < seconds < 1e9 and "e" not in f"{seconds:.15g}" else f"[5s{cut}]"
