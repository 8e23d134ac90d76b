"""Errors that several parts of the package raise. This module imports nothing, so that a table of names stays light."""


class WeightsError(ValueError):
    """Weights are missing, damaged or do not fit. The message names the file and the remedy."""
