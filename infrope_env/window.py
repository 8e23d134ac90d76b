"""The attention window of a block: a frozen dataclass that validates its fields. Imported from config.py by users."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

ROTARY_TABLE_LENGTH = 1024
"""Number of temporal coordinates in the rotary table, as in the official code."""

CoordinateRule = Literal["rank", "onset", "absolute"]
SwitchPolicy = Literal["flush", "none", "no_cache", "recache"]
COORDINATE_RULES: tuple[CoordinateRule, ...] = ("rank", "onset", "absolute")
SWITCH_POLICIES: tuple[SwitchPolicy, ...] = ("flush", "none", "no_cache", "recache")


@dataclass(frozen=True)
class Window:
    """Sizes and rules of the attention window. All sizes count latent frames.

    Attributes:
        sink: First frames of the rollout, which stay visible for its whole length. Default 1.
        context: Newest cached frames that a block sees while the prompt stays the same. Default 2.
        block: Frames that are denoised together. Default 3.
        flush_context: Newest cached frames that stay visible after a KV Flush. Default 1 (paper); the release has 2.
        cut_coordinate: Coordinate of the block's first frame on a RoPE Cut. Default 45 (release).
        coordinates: Rule for temporal coordinates: "rank" in the window (release, the default), "onset" (paper) or
            "absolute" (Self-Forcing).
        onset_index: Coordinate at which the onset rule pins the newest frame, counted from 1. Default 21 (paper).
        on_switch: Treatment of the cache when the prompt changes: "flush" (the default), or a baseline. "none" keeps
            the context, "no_cache" drops everything including the sink, and "recache" encodes the visible frames again
            under the new prompt, as LongLive does. A cut flushes under every policy.
    """

    sink: int = 1
    context: int = 2
    block: int = 3
    flush_context: int = 1
    cut_coordinate: int = 45
    coordinates: CoordinateRule = "rank"
    onset_index: int = 21
    on_switch: SwitchPolicy = "flush"

    def __post_init__(self) -> None:
        for name, least in (("sink", 0), ("context", 0), ("block", 1), ("flush_context", 0), ("onset_index", 1)):
            value = _integer(name, getattr(self, name))
            if value < least:
                raise ValueError(f"expected window {name} to be at least {least}, got {value}")
        if self.coordinates not in COORDINATE_RULES:
            raise ValueError(f"expected coordinates to be one of {COORDINATE_RULES}, got {self.coordinates!r}")
        if self.on_switch not in SWITCH_POLICIES:
            raise ValueError(f"expected on_switch to be one of {SWITCH_POLICIES}, got {self.on_switch!r}")
        if self.size > ROTARY_TABLE_LENGTH:
            raise ValueError(f"expected a window of at most {ROTARY_TABLE_LENGTH} frames, got {self.size}")
        if self.coordinates == "onset" and self.onset_index <= self.block:
            raise ValueError(
                f"expected onset_index to be larger than the block's {self.block} frames, so that the context has room "
                f"before it, got {self.onset_index}"
            )
        first_free = self.onset_index + 1 if self.coordinates == "onset" else self.sink + self.kept_on_flush
        last_free = ROTARY_TABLE_LENGTH - self.block
        if not first_free <= _integer("cut_coordinate", self.cut_coordinate) <= last_free:
            raise ValueError(
                f"expected cut_coordinate outside the context and inside the rotary table, "
                f"{first_free} to {last_free}, got {self.cut_coordinate}"
            )

    @property
    def size(self) -> int:
        """Latent frames that attention spans: sink, context and block (the release's local attention size)."""
        return self.sink + self.context + self.block

    @property
    def kept_on_flush(self) -> int:
        """Newest cached frames that stay visible after a flush: `flush_context`, but at most `context`."""
        return min(self.flush_context, self.context)

    @classmethod
    def release(cls) -> Self:
        """Return the official code's window: a flush keeps 2 frames, coordinates are ranks."""
        return cls(flush_context=2)

    @classmethod
    def paper(cls) -> Self:
        """Return the paper's window: a flush keeps 1 frame, coordinates count back from the onset index."""
        return cls(coordinates="onset")

    @classmethod
    def from_size(cls, size: int, **changes: object) -> Self:
        """Return a window of `size` latent frames; the context gets the frames that sink and block do not use.

        Args:
            size: Latent frames of the whole window: 6 with the defaults gives a context of 2.
            **changes: Other fields of the window.

        Raises:
            ValueError: No frame is left for the context, or `changes` sets the context too.
        """
        if "context" in changes:
            raise ValueError("give a window either size or context, not both")
        without_context = cls(**changes)  # type: ignore[arg-type]
        least = without_context.sink + without_context.block + 1
        if _integer("size", size) < least:
            raise ValueError(
                f"expected a window of at least {least} frames (sink {without_context.sink}, "
                f"block {without_context.block}), got {size}"
            )
        return dataclasses.replace(without_context, context=size - least + 1)

    @classmethod
    def parse(cls, given: Mapping[str, object] | int | Self | None, default: Self | None = None) -> Self:
        """Read the window from a keyword argument or a command line option.

        Args:
            given: A size, a table of field names (and "size"), a window, or None for the default.
            default: Window that gives every field that `given` does not set. Default `Window()`.

        Raises:
            ValueError: A field does not exist, or the window is impossible.
        """
        base = default or cls()
        if given is None:
            return base
        if isinstance(given, Window):
            return given
        if not isinstance(given, Mapping | int):
            raise ValueError(f"expected window to be a size or a table of settings, got {given!r}")
        fields = {"size": given} if isinstance(given, int) else dict(given)
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = fields.keys() - {"size", *names}
        if unknown:
            raise ValueError(
                f"unknown window setting {min(map(str, unknown))!r}; known are {', '.join(['size', *names])}"
            )
        if fields.get("size") is None:
            fields.pop("size", None)
            return dataclasses.replace(base, **fields)
        size = _integer("size", fields.pop("size"))
        return cls.from_size(size, **_fields_without_context(base) | fields)


def _integer(name: str, value: object) -> int:
    """Return `value` if it is an int and not a bool.

    Raises:
        ValueError: It is not; the message names the setting.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected window {name} to be a whole number, got {value!r}")
    return value


def _fields_without_context(window: Window) -> dict[str, object]:
    fields = dataclasses.asdict(window)
    del fields["context"]
    return fields
