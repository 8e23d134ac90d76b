"""Shape of the model, attention window and sampler: frozen dataclasses that validate their fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

ROTARY_TABLE_LENGTH = 1024
"""Number of temporal coordinates in the rotary table, as in the official code."""
MOST_STEPS, MOST_SHIFT = 64, 1000
"""Bounds of a sampler's settings, which may come from a file."""

CoordinateRule = Literal["rank", "onset", "absolute"]
SwitchPolicy = Literal["flush", "none", "no_cache", "recache"]
Prediction = Literal["velocity", "clean"]
COORDINATE_RULES: tuple[CoordinateRule, ...] = ("rank", "onset", "absolute")
PREDICTIONS: tuple[Prediction, ...] = ("velocity", "clean")
SWITCH_POLICIES: tuple[SwitchPolicy, ...] = ("flush", "none", "no_cache", "recache")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a causal Wan DiT: pocket, 1.3B and 14B differ only in these numbers.

    Attributes:
        dim: Width of a token; an even multiple of `num_heads`.
        ffn_dim: Hidden width of the feed-forward layers.
        num_heads: Attention heads per layer.
        num_layers: Transformer layers.
        latent_size: Height and width of a latent frame in latent pixels; multiples of `patch`.
        latent_channels: Channels of a latent frame. Default 16, as in Wan 2.1.
        patch: Height and width of a patch in latent pixels, or one number for a square; a patch spans one latent frame.
            Default (2, 2). Scenery should scroll by whole patches per latent frame: otherwise no patch repeats an
            earlier one.
        freq_dim: Width of the sinusoidal timestep embedding; even. Default 256.
        text_dim: Width of one row of a text embedding. Default 4096, as in UMT5-XXL.
        text_len: Rows of a text embedding. Rows after the prompt are zero and take part in attention. Default 512.
        prediction: Meaning of the network's output: "velocity" (noise - clean, as in Wan; the default) or "clean", the
            clean latents. A narrow network that predicts the velocity spends most of its width on copying the noise.
        learned_grid: Whether a learned vector is added at every place of the patch grid. Wan has none (the default). It
            shortens the training of a small model, which otherwise has to infer the place of a patch of pure noise.
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
        """Number of values in a patch."""
        return self.latent_channels * self.patch[0] * self.patch[1]

    @property
    def rows(self) -> int:
        """Rows of the patch grid."""
        return self.latent_size[0] // self.patch[0]

    @property
    def cols(self) -> int:
        """Columns of the patch grid."""
        return self.latent_size[1] // self.patch[1]

    @property
    def tokens_per_frame(self) -> int:
        """Number of patches in one latent frame."""
        return self.rows * self.cols


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
    """

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0
    first_steps: tuple[int, ...] | None = None
    warped: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _falling_steps("steps", self.steps))
        if self.first_steps is not None:
            object.__setattr__(self, "first_steps", _falling_steps("first_steps", self.first_steps))
        if isinstance(self.shift, bool) or not isinstance(self.shift, int | float) or not 0 < self.shift <= MOST_SHIFT:
            raise ValueError(f"expected shift to be above 0 and at most {MOST_SHIFT}, got {self.shift!r}")
        if not isinstance(self.warped, bool):
            raise ValueError(f"expected warped to be true or false, got {self.warped!r}")

    def __str__(self) -> str:
        """Return steps, shift, and the other fields where they are not the default.

        Recordings compare this text: fields of later versions do not change it where they change nothing.
        """
        later = [field for field in dataclasses.fields(self) if field.name not in ("steps", "shift")]
        shown = ["steps", "shift", *(each.name for each in later if getattr(self, each.name) != each.default)]
        return f"Sampler({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

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
    return {"steps": steps[-1]} | ({"first_steps": steps[0]} if len(steps) == 2 else {})


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


WAN_1_3B = ModelConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, latent_size=(60, 104))
WAN_14B = ModelConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40, latent_size=(60, 104))
