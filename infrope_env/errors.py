"""Errors that several parts of the package raise. Modules that must not import torch raise them too."""


class WeightsError(ValueError):
    """Weights are missing, damaged or do not fit. The message names the file and the remedy."""
