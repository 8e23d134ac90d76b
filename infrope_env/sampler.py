"""The denoising steps of a block: a frozen dataclass that validates its fields. Imported from config.py by users."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

MOST_STEPS, MOST_SHIFT = 64, 1000
"""Bounds of the settings, which may come from a file."""
MOST_ANTIPHASE = 0.5
"""No stationary noise that depends on two draws has neighbours of a stronger negative correlation."""


@dataclass(frozen=True)
class Sampler:
    """The denoising steps of a block.

    Attributes:
        steps: Noise levels, falling from at most 1000; each is one pass of the network. A trailing 0 is a real step, as
            in Krea's code: the clean estimate gets the least noise of the table once more. Default (1000, 750, 500,
            250).
        shift: Strength by which `shift_timesteps` bends the steps towards high noise; 1 does not. Default 5.
        first_steps: Steps of the first block, where they are others (Causal-Forcing++ denoises it in four steps and the
            rest in two or one). None, the default, is `steps`.
        warped: Whether the steps are bent. False takes them as the network's timesteps (CausVid: 1000, 757, 522) and
            looks up only their noise share in the shifted table. Default True.
        antiphase: Correlation, with the sign turned, of the noise of a block with that of the block before, 0 to 0.5
            (our reading of FLEX, see `dynamics/noise.py`). Default 0: blocks have independent noise.
    """

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0
    first_steps: tuple[int, ...] | None = None
    warped: bool = True
    antiphase: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _falling_steps("steps", self.steps))
        if self.first_steps is not None:
            object.__setattr__(self, "first_steps", _falling_steps("first_steps", self.first_steps))
        if isinstance(self.shift, bool) or not isinstance(self.shift, int | float) or not 0 < self.shift <= MOST_SHIFT:
            raise ValueError(f"expected shift to be above 0 and at most {MOST_SHIFT}, got {self.shift!r}")
        if not isinstance(self.warped, bool):
            raise ValueError(f"expected warped to be true or false, got {self.warped!r}")
        is_number = isinstance(self.antiphase, int | float) and not isinstance(self.antiphase, bool)
        if not is_number or not 0 <= self.antiphase <= MOST_ANTIPHASE:
            raise ValueError(f"expected antiphase to be a number from 0 to {MOST_ANTIPHASE}, got {self.antiphase!r}")

    def __str__(self) -> str:
        """Return steps, shift, and the other fields where they are not the default.

        Recordings compare this text: fields of later versions do not change it where they change nothing.
        """
        later = [field for field in dataclasses.fields(self) if field.name not in ("steps", "shift")]
        shown = ["steps", "shift", *(each.name for each in later if getattr(self, each.name) != each.default)]
        return f"Sampler({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def describe(self) -> str:
        """Return the settings in words, for example "steps 1000, 500 (first block 1000, 750, 500, 250), shift 5"."""
        first = "" if self.first_steps is None else f" (first block {', '.join(map(str, self.first_steps))})"
        kind = "steps" if self.warped else "timesteps"
        noise = f", antiphase noise {self.antiphase:g}" if self.antiphase else ""
        return f"{kind} {', '.join(map(str, self.steps))}{first}, shift {self.shift:g}{noise}"

    def with_count(self, count: int) -> Self:
        """Return the sampler that denoises in `count` steps, each of them one of this sampler's.

        They are evenly spaced in its list, from the noisiest on: 1 step of the default is 1000, 2 are 1000, 500, and 3
        are 1000, 750, 500. The longer one of `steps` and `first_steps` is chosen from; `first_steps` stay where they
        are more than `count`.

        Raises:
            ValueError: `count` is not a whole number from 1 to the number of steps to choose from.
        """
        most = max(self.steps, self.first_steps or (), key=len)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(most):
            raise ValueError(f"expected steps to be a whole number from 1 to {len(most)}, got {count!r}")
        if count == len(self.steps):
            return self
        steps = tuple(most[index * len(most) // count] for index in range(count))
        keeps_first = self.first_steps is not None and len(self.first_steps) > count
        return dataclasses.replace(self, steps=steps, first_steps=self.first_steps if keeps_first else None)

    @classmethod
    def parse(
        cls, given: Mapping[str, object] | Sequence[int] | str | Self | None, default: Self | None = None
    ) -> Self:
        """Read the sampler from a keyword argument, a command line option or a file.

        Args:
            given: Steps, as a list or as text ("1000,500", or "1000,750,500,250/1000,500" with those of the first block
                before the slash); a table of field names; a sampler; or None for the default.
            default: Sampler that gives every field that `given` does not set. Default `Sampler()`.

        Raises:
            ValueError: A field does not exist, or the steps are impossible.
        """
        base = default or cls()
        if given is None:
            return base
        if isinstance(given, Sampler):
            return given
        fields: dict[str, object] = {}
        if isinstance(given, str):
            fields = _steps_from_text(given)
        elif isinstance(given, Mapping):
            fields = dict(given)
        elif isinstance(given, Sequence):
            fields = {"steps": given}
        else:
            raise ValueError(f"expected a sampler to be steps or a table of settings, got {given!r}")
        names = [field.name for field in dataclasses.fields(cls)]
        if unknown := fields.keys() - set(names):
            raise ValueError(f"unknown sampler setting {min(map(str, unknown))!r}; known are {', '.join(names)}")
        return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


def _falling_steps(name: str, steps: object) -> tuple[int, ...]:
    """Return steps as a tuple; ValueError unless they are whole numbers that fall from at most 1000 to at least 0."""
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ValueError(f"expected {name} to be a list of whole numbers, got {steps!r}")
    found = tuple(steps)
    if not all(isinstance(step, int) and not isinstance(step, bool) for step in found):
        raise ValueError(f"expected {name} to be whole numbers, got {found}")
    if not 1 <= len(found) <= MOST_STEPS:
        raise ValueError(f"expected {name} to be 1 to {MOST_STEPS} whole numbers, got {len(found)}")
    falling = all(high > low for high, low in pairwise(found))
    if not falling or not 0 < found[0] <= 1000 or found[-1] < 0:
        raise ValueError(f"expected {name} to fall from at most 1000, to 0 at last, got {found}")
    return found


def _steps_from_text(text: str) -> dict[str, object]:
    """Return the fields in "1000,500" or "1000,750,500,250/1000,500"."""
    lists = text.split("/")
    try:
        steps = [tuple(int(step) for step in each.split(",")) for each in lists]
    except ValueError:
        steps = []
    if not 1 <= len(steps) <= 2:
        raise ValueError(
            f"expected steps such as 1000,750,500,250 or, with those of the first block before a slash, "
            f"1000,750,500,250/1000,500, got {text!r}"
        )
    return {"steps": steps[-1], **({"first_steps": steps[0]} if len(steps) == 2 else {})}
