"""What can be chosen: the shape of the model, the window it looks through, the sampler. Knows no tensors, no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

ROTARY_TABLE_LENGTH = 1024
"""Coordinates a rotary table holds (official code: 1024)."""

CoordinateRule = Literal["rank", "onset", "absolute"]
SwitchPolicy = Literal["flush", "none", "no_cache", "recache"]
Prediction = Literal["velocity", "clean"]
COORDINATE_RULES: tuple[CoordinateRule, ...] = ("rank", "onset", "absolute")
PREDICTIONS: tuple[Prediction, ...] = ("velocity", "clean")
SWITCH_POLICIES: tuple[SwitchPolicy, ...] = ("flush", "none", "no_cache", "recache")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a causal Wan DiT. The same class describes pocket, 1.3B and 14B.

    Attributes:
        latent_size: height and width of a latent frame, in latent pixels; multiples of the patch's.
        patch: height and width of a patch, in latent pixels, or one number for a square; it spans one latent frame.
            Where a picture scrolls by less than a patch a latent frame, no patch is ever a copy of an earlier one.
        text_len: rows of a text embedding; rows after the prompt are zero and take part in attention.
        prediction: what the network's output means: the velocity (noise - clean; Wan), or the clean latents themselves.
            A narrow network spends most of its width on carrying noise to its output if it has to name the velocity.
        learned_grid: add a learned vector to every place of the patch grid. Wan has none; without it a small model
            takes long to find out where in the picture a patch of pure noise is.
    """

    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    latent_size: tuple[int, int]
    latent_channels: int = 16
    patch: tuple[int, int] = (2, 2)
    freq_dim: int = 256
    text_dim: int = 4096
    text_len: int = 512
    prediction: Prediction = "velocity"
    learned_grid: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "latent_size", tuple(self.latent_size))
        object.__setattr__(self, "patch", (self.patch,) * 2 if isinstance(self.patch, int) else tuple(self.patch))
        for name in ("dim", "ffn_dim", "num_heads", "num_layers", "latent_channels", "text_dim", "text_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if self.freq_dim < 2 or self.freq_dim % 2:
            raise ValueError(f"expected freq_dim to be even and at least 2, got {self.freq_dim}")
        if self.dim % self.num_heads or (self.dim // self.num_heads) % 2:
            raise ValueError(f"expected dim to be an even multiple of num_heads, got {self.dim} and {self.num_heads}")
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"expected prediction to be one of {', '.join(PREDICTIONS)}, got {self.prediction!r}")
        if len(self.patch) != 2 or min(self.patch) < 1:
            raise ValueError(f"expected patch to be two sides of at least 1, got {self.patch}")
        if len(self.latent_size) != 2 or any(
            side < 1 or side % patch for side, patch in zip(self.latent_size, self.patch, strict=True)
        ):
            raise ValueError(f"expected latent_size to be two multiples of {self.patch}, got {self.latent_size}")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads

    @property
    def patch_values(self) -> int:
        """Numbers in a patch."""
        return self.latent_channels * self.patch[0] * self.patch[1]

    @property
    def rows(self) -> int:
        """Patches from top to bottom."""
        return self.latent_size[0] // self.patch[0]

    @property
    def cols(self) -> int:
        """Patches from left to right."""
        return self.latent_size[1] // self.patch[1]

    @property
    def tokens_per_frame(self) -> int:
        """Patches in one latent frame."""
        return self.rows * self.cols


@dataclass(frozen=True)
class Window:
    """Which cached latent frames a block sees and by which rule they get their coordinates.

    Attributes:
        sink: first frames of the rollout, always visible.
        context: newest cached frames a block sees while the prompt stays the same.
        block: latent frames denoised together.
        flush_context: newest frames that survive a KV Flush (paper 1, release 2).
        cut_coordinate: coordinate at which a block starts on a RoPE Cut (release 45).
        coordinates: "rank" in the window (release), "onset" (paper), "absolute" (Self-Forcing).
        onset_index: coordinate at which the onset rule pins the newest frame, counted from 1 (paper 21).
        on_switch: what a prompt change does to the cache: "flush"; for comparison, "none" keeps it, "no_cache"
            loses it, sink included, and "recache" encodes what is visible again under the new prompt, as LongLive
            does. A cut flushes whatever this says.
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
        self._check_counts()
        self._check_names()
        self._check_fit()
        self._check_cut()

    @property
    def size(self) -> int:
        """Latent frames that attention spans: sink, context and block (the release's local attention size)."""
        return self.sink + self.context + self.block

    @classmethod
    def from_size(cls, size: int, **changes: object) -> Self:
        """A window of `size` latent frames; whatever sink and block leave is context.

        Raises:
            ValueError: if no frame is left for the context, or context is given too.
        """
        if "context" in changes:
            raise ValueError("give a window either size or context, not both")
        plain = cls(**changes)  # type: ignore[arg-type]
        context = _whole("size", size) - plain.sink - plain.block
        if context < 1:
            least = plain.sink + plain.block + 1
            raise ValueError(
                f"expected a window of at least {least} frames (sink {plain.sink}, block {plain.block}), got {size}"
            )
        return dataclasses.replace(plain, context=context)

    @classmethod
    def release(cls) -> Self:
        """The official code's window: a flush keeps 2 frames, coordinates are ranks."""
        return cls(flush_context=2)

    @classmethod
    def paper(cls) -> Self:
        """The paper's window: a flush keeps 1 frame, coordinates count back from the onset index."""
        return cls(coordinates="onset")

    @classmethod
    def parse(cls, given: Mapping[str, object] | int | Self | None, default: Self | None = None) -> Self:
        """Read what a keyword argument or a command line gives: a size, field names (and `size`), or nothing.

        Raises:
            ValueError: for a field that does not exist or a window that cannot work.
        """
        base = default or cls()
        if given is None:
            return base
        if isinstance(given, Window):
            return given
        if not isinstance(given, Mapping | int):
            raise ValueError(f"expected window to be a size or a table of settings, got {given!r}")
        fields = {"size": given} if isinstance(given, int) else dict(given)
        size = fields.pop("size", None)
        unknown = fields.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            known = ", ".join(["size", *(field.name for field in dataclasses.fields(cls))])
            raise ValueError(f"unknown window setting {min(map(str, unknown))!r}; known are {known}")
        if size is not None and "context" in fields:
            raise ValueError("give a window either size or context, not both")
        changed = dataclasses.replace(base, **fields)
        return changed if size is None else cls.from_size(_whole("size", size), **_without_context(changed))

    def _check_counts(self) -> None:
        for name, least in (("sink", 0), ("context", 0), ("block", 1), ("flush_context", 0), ("onset_index", 1)):
            value = _whole(name, getattr(self, name))
            if value < least:
                raise ValueError(f"expected window {name} to be at least {least}, got {value}")

    def _check_names(self) -> None:
        if self.coordinates not in COORDINATE_RULES:
            raise ValueError(f"expected coordinates to be one of {COORDINATE_RULES}, got {self.coordinates!r}")
        if self.on_switch not in SWITCH_POLICIES:
            raise ValueError(f"expected on_switch to be one of {SWITCH_POLICIES}, got {self.on_switch!r}")

    def _check_fit(self) -> None:
        if self.size > ROTARY_TABLE_LENGTH:
            raise ValueError(f"expected a window of at most {ROTARY_TABLE_LENGTH} frames, got {self.size}")
        if self.coordinates == "onset" and self.onset_index <= self.block:
            raise ValueError(
                f"expected onset_index beyond the block's {self.block} frames, so that the context has room "
                f"before it, got {self.onset_index}"
            )

    def _check_cut(self) -> None:
        first_free = self.onset_index + 1 if self.coordinates == "onset" else self.sink + self.kept_on_flush
        last_free = ROTARY_TABLE_LENGTH - self.block
        if not first_free <= _whole("cut_coordinate", self.cut_coordinate) <= last_free:
            raise ValueError(
                f"expected cut_coordinate outside the context and inside the rotary table, "
                f"{first_free} to {last_free}, got {self.cut_coordinate}"
            )

    @property
    def kept_on_flush(self) -> int:
        """Newest frames visible after a flush: never more than the context holds."""
        return min(self.flush_context, self.context)


@dataclass(frozen=True)
class Sampler:
    """The few denoising steps of a block.

    Attributes:
        steps: noise levels on the unshifted scale, 1000 first; a trailing 0 would be a real extra step.
        shift: how far `shift_timesteps` bends them towards high noise.
    """

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not all(isinstance(step, int) for step in self.steps):
            raise ValueError(f"expected steps to be whole numbers, got {self.steps}")
        if self.shift <= 0:
            raise ValueError(f"expected shift to be above 0, got {self.shift}")
        falling = all(high > low for high, low in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not falling or self.steps[-1] <= 0 or self.steps[0] > 1000:
            raise ValueError(f"expected steps to fall from at most 1000 to above 0, got {self.steps}")


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected window {name} to be a whole number, got {value!r}")
    return value


def _without_context(window: Window) -> dict[str, object]:
    return {name: value for name, value in dataclasses.asdict(window).items() if name != "context"}


WAN_1_3B = ModelConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, latent_size=(60, 104))
WAN_14B = ModelConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40, latent_size=(60, 104))
