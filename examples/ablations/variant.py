"""What one row of a table is made with. Knows no numbers and no pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infrope_env.config import Sampler, Window
from infrope_env.models.resolve import load_model
from infrope_env.models.world_model import WorldModel


@dataclass(frozen=True)
class Setting:
    """Weights, window and steps of a rollout.

    Attributes:
        weights: a bundled world's name or a world folder.
        window: whole, not only what differs from the world's own.
        steps: noise levels of the denoising steps; None takes the world's own.
        coordinates: how many the rotary table holds; None takes the official number.
    """

    weights: str
    window: Window
    steps: tuple[int, ...] | None = None
    coordinates: int | None = None

    @property
    def world(self) -> WorldModel:
        """The loaded weights, once per process."""
        return load_model(self.weights)

    @property
    def sampler(self) -> Sampler:
        """The world's own, with these steps."""
        own = self.world.sampler
        return own if self.steps is None else replace(own, steps=self.steps)


def resized(window: Window, size: int, **changes: object) -> Window:
    """The same window, `size` latent frames long; whatever sink and block leave is context."""
    changed = Window.parse(dict(changes), default=window)
    return Window.parse({"size": size}, default=changed)


def even_steps(count: int) -> tuple[int, ...]:
    """So many steps, evenly spaced on the unshifted scale: 4 gives 1000, 750, 500, 250."""
    return tuple(round(1000 * (count - index) / count) for index in range(count))
