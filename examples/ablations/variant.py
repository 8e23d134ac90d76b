"""A variant of the model under test: weights, window, denoising steps, length of the rotary table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infrope_env.config import ROTARY_TABLE_LENGTH, Sampler, Window
from infrope_env.models.resolve import load_model
from infrope_env.models.world_model import WorldModel


@dataclass(frozen=True)
class Variant:
    """The settings that the numbers of one table row depend on, besides the seed.

    Attributes:
        weights: Name of a bundled model, or path of a world folder.
        window: Complete attention window, not only the fields that differ from the model's own.
        steps: Timesteps of the denoising steps; None means the model's own.
        rotary_length: Coordinates in the rotary table.
    """

    weights: str
    window: Window
    steps: tuple[int, ...] | None = None
    rotary_length: int = ROTARY_TABLE_LENGTH

    @property
    def model(self) -> WorldModel:
        """The loaded weights, shared by all variants of the process."""
        return load_model(self.weights)

    @property
    def sampler(self) -> Sampler:
        """The model's own sampler with this variant's steps."""
        own = self.model.sampler
        return own if self.steps is None else replace(own, steps=self.steps)

    @property
    def label(self) -> str:
        """Description in the progress output."""
        window, steps = self.window, len(self.sampler.steps)
        memory = "sink" if window.memory == "sink" else f"{window.memory} (forget {window.forget})"
        return f"{self.weights}, {window.coordinates}, window {window.size}, {memory} {window.sink}, {steps} steps"

    def with_rules(self, **rules: object) -> Variant:
        """Return this variant with other rules of its window; sizes stay, so saved states can be exchanged."""
        return replace(self, window=Window.parse(rules, default=self.window))

    def without_sink(self) -> Variant:
        """Return this variant with as many visible frames, none of them pinned: a plain sliding window."""
        window = self.window
        return replace(self, window=replace(window, sink=0, context=window.context + window.sink))


def resized(window: Window, size: int, **changes: object) -> Window:
    """Return the window with `size` latent frames; the context gets those that sink and block do not use."""
    changed = Window.parse(dict(changes), default=window)
    return Window.parse({"size": size}, default=changed)


def even_steps(count: int) -> tuple[int, ...]:
    """Return `count` evenly spaced timesteps before the shift: 4 gives 1000, 750, 500, 250."""
    return tuple(round(1000 * (count - index) / count) for index in range(count))
