"""The Controller type: what steers an environment."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Controller = Callable[[NDArray[np.uint8], Mapping[str, Any]], int]
"""(newest observation, its info) -> the action of the next block."""
