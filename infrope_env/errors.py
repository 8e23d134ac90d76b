"""Errors that several parts of the package raise. Imports nothing, so that a table of names stays light."""


class WeightsError(ValueError):
    """Weights are missing, damaged or do not fit; the message names the file and the remedy."""
