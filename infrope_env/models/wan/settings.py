"""infrope.json: what a folder of Wan's parts may set. Reads JSON, opens no weights.

    {"frame_size": [480, 832], "window": {"size": 9}, "sampler": {"steps": [1000, 750, 500, 250], "shift": 5.0}}

"window" and "sampler" take the fields of `Window` and `Sampler`, and replace those of a released generator. Every entry
is optional; released generators need none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrope_env.config import WAN_1_3B, Sampler, Window
from infrope_env.errors import WeightsError

SETTINGS = "infrope.json"
PIXELS_PER_LATENT = 8  # along each side, in both of Wan 2.1's codecs
PIXELS_PER_PATCH = PIXELS_PER_LATENT * WAN_1_3B.patch[0]
ENTRIES = ("frame_size", "window", "sampler")


@dataclass(frozen=True)
class Settings:
    """Defaults of play for a generator.

    Attributes:
        latent_size: Height and width of a latent frame; (60, 104) makes pixel frames of 480 x 832.
        window: Default window; None takes the one of the generator's row, else `Window()`.
        sampler: Default denoising steps; None likewise.
    """

    latent_size: tuple[int, int] = WAN_1_3B.latent_size
    window: Window | None = None
    sampler: Sampler | None = None

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read infrope.json; WeightsError names an entry that cannot work."""
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(entries, Mapping) or entries.keys() - set(ENTRIES):
                raise ValueError(f"expected a table of {', '.join(ENTRIES)}, got {entries!r}")
            size, window, sampler = (entries.get(name) for name in ENTRIES)
            return cls(
                _latent_size(size) if "frame_size" in entries else cls.latent_size,
                None if window is None else Window.parse(window),
                None if sampler is None else Sampler.parse(sampler),
            )
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{path}: {error}.") from error


def _latent_size(frame_size: object) -> tuple[int, int]:
    """Convert height and width in pixels."""
    sides = frame_size if isinstance(frame_size, list) else []
    if len(sides) != 2 or not all(
        isinstance(side, int) and side > 0 and side % PIXELS_PER_PATCH == 0 for side in sides
    ):
        raise ValueError(
            f"expected frame_size to be height and width, multiples of {PIXELS_PER_PATCH}, got {frame_size!r}"
        )
    return sides[0] // PIXELS_PER_LATENT, sides[1] // PIXELS_PER_LATENT
