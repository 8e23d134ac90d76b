"""What a folder with a generator of one's own may say about it, in `infrope.json`. Knows JSON, no weights.

    {"frame_size": [480, 832], "window": {"size": 9}, "sampler": {"steps": [1000, 750, 500, 250], "shift": 5.0}}

Every entry may be left out: released generators need none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrope_env.config import WAN_1_3B, Sampler, Window
from infrope_env.errors import WeightsError

SETTINGS = "infrope.json"
PIXELS_PER_LATENT = 8  # a side, of both of Wan 2.1's codecs
PIXELS_PER_PATCH = PIXELS_PER_LATENT * WAN_1_3B.patch[0]
ENTRIES = ("frame_size", "window", "sampler")


@dataclass(frozen=True)
class Settings:
    """How a generator is played where nothing else is asked for.

    Attributes:
        latent_size: height and width of a latent frame; (60, 104) makes pixel frames of 480 x 832.
        window: None leaves it to the generator's row, else the default; so does `sampler`.
    """

    latent_size: tuple[int, int] = WAN_1_3B.latent_size
    window: Window | None = None
    sampler: Sampler | None = None

    @classmethod
    def read(cls, path: Path) -> Settings:
        """What the file says, or the defaults where there is no file; WeightsError names what cannot be."""
        if not path.is_file():
            return cls()
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            return cls._parse(entries)
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{path}: {error}.") from error

    @classmethod
    def _parse(cls, entries: object) -> Settings:
        if not isinstance(entries, Mapping) or entries.keys() - set(ENTRIES):
            raise ValueError(f"expected a table of {', '.join(ENTRIES)}, got {entries!r}")
        window, sampler = entries.get("window"), entries.get("sampler")
        return cls(
            _latent_size(entries["frame_size"]) if "frame_size" in entries else cls.latent_size,
            None if window is None else Window.parse(window),
            None if sampler is None else Sampler(**sampler),
        )


def _latent_size(frame_size: object) -> tuple[int, int]:
    """From height and width in pixels."""
    sides = frame_size if isinstance(frame_size, list) else []
    fitting = [side for side in sides if isinstance(side, int) and side > 0 and side % PIXELS_PER_PATCH == 0]
    if len(sides) != 2 or len(fitting) != 2:
        raise ValueError(
            f"expected frame_size to be height and width, multiples of {PIXELS_PER_PATCH}, got {frame_size!r}"
        )
    return sides[0] // PIXELS_PER_LATENT, sides[1] // PIXELS_PER_LATENT
