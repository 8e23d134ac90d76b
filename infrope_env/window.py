"""The attention window of a block: a frozen dataclass that validates its fields. Imported from config.py by users."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

ROTARY_TABLE_LENGTH = 1024
"""Number of temporal coordinates in the rotary table, as in the official code."""
TRAINED_FRAMES = 21
"""Latent frames of the five-second clips on which all these models were trained."""

CoordinateRule = Literal["rank", "onset", "absolute"]
SwitchPolicy = Literal["flush", "none", "no_cache", "recache"]
MemoryPolicy = Literal["sink", "deep_sink", "rolling_sink", "ema", "ema_sink", "jitter"]
ForgetRule = Literal["never", "cut", "flush"]
COORDINATE_RULES: tuple[CoordinateRule, ...] = ("rank", "onset", "absolute")
SWITCH_POLICIES: tuple[SwitchPolicy, ...] = ("flush", "none", "no_cache", "recache")
MEMORY_POLICIES: tuple[MemoryPolicy, ...] = ("sink", "deep_sink", "rolling_sink", "ema", "ema_sink", "jitter")
FORGET_RULES: tuple[ForgetRule, ...] = ("never", "cut", "flush")

MEMORY_TOKENS = 2
"""Memory tokens of "ema" per place of the patch grid: as many as a latent frame each time."""
DEEP_SINK_PERCENT = 40, 60
"""Least and most share of the window that "deep_sink" pins (Deep Forcing)."""


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
        memory: Policy for frames that have left the context. Default "sink": the sink, nothing else;
            `dynamics/README.md` has the other policies.
        forget: When that memory is dropped: "never" (the default: flush and cut leave it), "cut", or "flush" (at every
            flush, a cut's included). Only "deep_sink", "rolling_sink" and "ema" have something to forget.
        flex_horizon: Coordinates for which slow temporal frequencies are interpolated (our reading of FLEX), more than
            the 21 of training. Default 0: none are.
    """

    sink: int = 1
    context: int = 2
    block: int = 3
    flush_context: int = 1
    cut_coordinate: int = 45
    coordinates: CoordinateRule = "rank"
    onset_index: int = 21
    on_switch: SwitchPolicy = "flush"
    memory: MemoryPolicy = "sink"
    forget: ForgetRule = "never"
    flex_horizon: int = 0

    def __post_init__(self) -> None:
        for name, least in (("sink", 0), ("context", 0), ("block", 1), ("flush_context", 0), ("onset_index", 1)):
            value = _integer(name, getattr(self, name))
            if value < least:
                raise ValueError(f"expected window {name} to be at least {least}, got {value}")
        if _integer("flex_horizon", self.flex_horizon) and self.flex_horizon <= TRAINED_FRAMES:
            raise ValueError(
                f"expected flex_horizon to be more than the {TRAINED_FRAMES} frames of training, or 0, "
                f"got {self.flex_horizon}"
            )
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
        self._check_memory()
        pinned = self.sink + self.memory_tokens
        first_free = self.onset_index + 1 if self.coordinates == "onset" else pinned + self.kept_on_flush
        last_free = ROTARY_TABLE_LENGTH - self.block
        if not first_free <= _integer("cut_coordinate", self.cut_coordinate) <= last_free:
            raise ValueError(
                f"expected cut_coordinate outside the context and inside the rotary table, "
                f"{first_free} to {last_free}, got {self.cut_coordinate}"
            )

    def _check_memory(self) -> None:
        """Raise ValueError if the memory policy does not exist or contradicts another field."""
        name = f"memory={self.memory!r}"
        if self.memory not in MEMORY_POLICIES:
            raise ValueError(f"expected memory to be one of {MEMORY_POLICIES}, got {self.memory!r}")
        if self.forget not in FORGET_RULES:
            raise ValueError(f"expected forget to be one of {FORGET_RULES}, got {self.forget!r}")
        if self.forget != "never" and self.memory not in ("deep_sink", "rolling_sink", "ema"):
            raise ValueError(f"{name} has nothing to forget: expected forget='never' with it, got {self.forget!r}")
        if self.coordinates != "rank" and self.memory in ("rolling_sink", "ema"):
            raise ValueError(f"{name} has frames without a time: expected coordinates='rank', got {self.coordinates!r}")
        if self.on_switch == "recache" and self.memory in ("rolling_sink", "ema", "ema_sink"):
            raise ValueError(f"{name} cannot be encoded again: expected on_switch other than 'recache' with it")
        if self.context < 1 and self.memory not in ("sink", "jitter"):
            raise ValueError(f"expected a context of at least 1 frame with {name}, got {self.context}")
        if self.sink < 1 and self.memory in ("rolling_sink", "ema_sink"):
            raise ValueError(f"expected a sink of at least 1 frame with {name}, got {self.sink}")
        if self.memory == "deep_sink":
            self._check_deep_sink()

    def _check_deep_sink(self) -> None:
        """Raise ValueError if the sink is not a deep one, or coordinates have no room for it."""
        share, most = (round(percent * self.size / 100) for percent in DEEP_SINK_PERCENT)
        least = min(share, self.sink + self.context - 1)  # a small window leaves less, beside a frame of context
        if not least <= self.sink <= most:
            raise ValueError(
                f"expected memory='deep_sink' to have a sink of {least} to {most} frames in a window of {self.size}, "
                f"got {self.sink}"
            )
        if self.coordinates == "onset" and self.size > self.onset_index:
            raise ValueError(
                f"expected a window of at most onset_index frames ({self.onset_index}) with memory='deep_sink' and "
                f"coordinates='onset', got {self.size}"
            )

    @property
    def memory_tokens(self) -> int:
        """Memory tokens per place that a block sees besides frames."""
        return MEMORY_TOKENS if self.memory == "ema" else 0

    @property
    def averages(self) -> int:
        """Averages of latent frames that the cache keeps in float32 besides."""
        return {"ema": MEMORY_TOKENS, "ema_sink": self.sink}.get(self.memory, 0)

    @property
    def size(self) -> int:
        """Latent frames that attention spans: sink, memory tokens, context and block (the release's local size)."""
        return self.sink + self.memory_tokens + self.context + self.block

    @property
    def cache_slots(self) -> int:
        """Latent frames that the cache holds at most; more than `size` where frames are kept that no block sees.

        "rolling_sink" keeps the first sink + context frames. "ema" and "ema_sink" write new averages beside the old.
        """
        return self.size + (self.context if self.memory == "rolling_sink" else self.averages)

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
        """Return a window of `size` latent frames; the context gets the frames that nothing else uses.

        Args:
            size: Latent frames of the whole window: 6 with the defaults gives a context of 2.
            **changes: Other fields of the window. Without a sink among them, it is that of `sink_within`.

        Raises:
            ValueError: No frame is left for the context, or `changes` sets the context too.
        """
        if "context" in changes:
            raise ValueError("give a window either size or context, not both")
        policy = {name: changes.get(name, getattr(cls, name)) for name in ("memory", "forget")}
        plain = cls(**changes | {"memory": "sink", "forget": "never"})  # type: ignore[arg-type]
        size = _integer("size", size)
        sink = plain.sink if "sink" in changes else sink_within(size, plain.block, str(policy["memory"]), plain.sink)
        tokens = MEMORY_TOKENS if policy["memory"] == "ema" else 0
        least = max(sink, 0) + tokens + plain.block + 1
        if size < least:
            memory = f", memory tokens {tokens}" if tokens else ""
            raise ValueError(
                f"expected a window of at least {least} frames (sink {max(sink, 0)}, block {plain.block}{memory}), "
                f"got {size}"
            )
        return dataclasses.replace(plain, sink=sink, context=size - least + 1, **policy)  # type: ignore[arg-type]

    @classmethod
    def parse(
        cls,
        given: Mapping[str, object] | int | Self | None,
        default: Self | None = None,
        memory: str | None = None,
    ) -> Self:
        """Read the window from a keyword argument or a command line option.

        Args:
            given: A size, a table of field names (and "size"), a window, or None for the default. A memory without
                sink and context divides the window's size anew.
            default: Window that gives every field that `given` does not set. Default `Window()`.
            memory: Memory policy, as a field of `given`. Default None: it has none.

        Raises:
            ValueError: A field does not exist, or the window is impossible.
        """
        base = default or cls()
        if memory is not None:
            base, given = (given, None) if isinstance(given, Window) else (base, given)
            given = (dict(given) if isinstance(given, Mapping) else {"size": given}) | {"memory": memory}
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
        size = fields.pop("size", None)
        if size is None and "memory" in fields and not fields.keys() & {"sink", "context"}:
            size = base.size
        if size is None:
            return dataclasses.replace(base, **fields)
        inherited = _fields_without_context(base)
        policy, block = str(fields.get("memory", base.memory)), _integer("block", fields.get("block", base.block))
        if policy != base.memory:
            inherited["forget"] = "never"
        if "sink" not in fields:
            inherited["sink"] = sink_within(_integer("size", size), block, policy, base.sink)
        return cls.from_size(size, **inherited | fields)  # type: ignore[arg-type]


def sink_within(size: int, block: int, memory: str, sink: int) -> int:
    """Return the sink of a window of `size` frames under a memory policy, which prefers `sink` frames.

    "deep_sink" takes half of the window, "rolling_sink" all but the block and as large a context (its code), and "ema"
    gives way to the memory tokens where the window is small; all leave at least one frame of context.
    """
    if memory == "deep_sink":
        return min(size // 2, size - block - 1)
    if memory == "rolling_sink":
        return max(1, size - 2 * block)
    if memory == "ema":
        return max(0, min(sink, size - block - MEMORY_TOKENS - 1))
    return sink


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
