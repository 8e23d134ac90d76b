"""Errors that several parts of the package raise, and values as messages quote them. Imports no torch."""

from __future__ import annotations

import reprlib


class WeightsError(ValueError):
    """Weights are missing, damaged or do not fit. The message names the file and the remedy."""


def shown(value: object) -> str:
    """Return a value as an error message quotes it: its repr, cut short; never raises, however odd the value is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 100
    try:
        return short.repr(value)
    except Exception:  # a huge integer has no decimal text, and another's repr can raise anything
        return f"a value of type {type(value).__name__}"
