"""Arrangements: 32 versions of the world, named by the words of the prompt: light, view, season and weather.

Each of the four changes the backdrop of every scene, where it is in view all the time, and decides what some of the
landmarks are. So the visible frame still determines the next one. A prompt without such words keeps what is visible; at
the start and after a cut it means every scene's own light, and none of the other changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIGHTS = ("clear", "red", "blue", "grey")
OWN_LIGHT = {
    "meadow": "clear",
    "desert": "red",
    "snow": "clear",
    "city": "clear",
    "beach": "clear",
    "cave": "clear",
}
"""Light of every scene that a prompt without words for it has."""
SOUTH, AUTUMN, RAIN = "facing south", "in autumn", "after rain"
VARIATIONS = (tuple(f"in {light} light" for light in LIGHTS), ("", SOUTH), ("", AUTUMN), ("", RAIN))
"""Words of the prompt, as the variations of an action set: an arrangement has one of each list."""
ARRANGEMENTS = 8 * len(LIGHTS)


@dataclass(frozen=True)
class Arrangement:
    """One version of the world, in all scenes.

    Attributes:
        light: One of `LIGHTS`, the colours of the sky; None is every scene's own.
        south: Sky and far layer are mirrored.
        autumn: The far layer has other colours.
        rain: The ground has another colour.
    """

    light: str | None = None
    south: bool = False
    autumn: bool = False
    rain: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown light."""
        if self.light is not None and self.light not in LIGHTS:
            raise ValueError(f"expected light to be one of {', '.join(LIGHTS)}, got {self.light!r}")

    @classmethod
    def numbered(cls, number: int) -> Arrangement:
        """Return arrangement `number`, 0 to 31, of those with a light."""
        light, rest = number % len(LIGHTS), number // len(LIGHTS)
        return cls(LIGHTS[light], *(bool(rest >> i & 1) for i in range(3)))

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Arrangement:
        """Draw one of the arrangements with a light; all are equally likely."""
        return cls.numbered(int(rng.integers(ARRANGEMENTS)))

    @classmethod
    def named(cls, words: str) -> Arrangement:
        """Return the arrangement whose `words` these are; "" is the default one.

        Raises:
            ValueError: No arrangement has these words.
        """
        for each in (DEFAULT_ARRANGEMENT, *map(cls.numbered, range(ARRANGEMENTS))):
            if each.words == words:
                return each
        raise ValueError(f"expected the words of an arrangement, such as 'in red light {SOUTH}', got {words!r}")

    @property
    def words(self) -> str:
        """Words of the prompt, for example "in red light facing south after rain"; none without a light."""
        if self.light is None:
            return ""
        changes = ((self.south, SOUTH), (self.autumn, AUTUMN), (self.rain, RAIN))
        return " ".join([f"in {self.light} light", *(words for changed, words in changes if changed)])

    def sky(self, scene: str) -> int:
        """Return which of a scene's four skies it shows; 0 is that of the scene's own light."""
        own = OWN_LIGHT[scene]
        return (LIGHTS.index(self.light or own) - LIGHTS.index(own)) % len(LIGHTS)

    def landmarks(self, scene: str) -> tuple[bool, ...]:
        """Return whether each of a scene's five places has its other landmark; the first two are seen at the start."""
        return self.south, self.autumn, self.rain, bool(self.sky(scene) & 1), bool(self.sky(scene) & 2)


DEFAULT_ARRANGEMENT = Arrangement()
"""The arrangement of prompts without words for it."""
