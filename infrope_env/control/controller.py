"""The Controller type: a callable that steers an environment."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Controller = Callable[[NDArray[np.uint8], Mapping[str, Any]], int]
"""(observation, info) of the newest block -> action of the next block."""
