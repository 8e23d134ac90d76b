"""Shape of the model, attention window and sampler: frozen dataclasses that validate their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infrope_env.sampler import Sampler as Sampler
from infrope_env.window import COORDINATE_RULES as COORDINATE_RULES
from infrope_env.window import FORGET_RULES as FORGET_RULES
from infrope_env.window import MEMORY_POLICIES as MEMORY_POLICIES
from infrope_env.window import ROTARY_TABLE_LENGTH as ROTARY_TABLE_LENGTH
from infrope_env.window import SWITCH_POLICIES as SWITCH_POLICIES
from infrope_env.window import TRAINED_FRAMES as TRAINED_FRAMES
from infrope_env.window import CoordinateRule as CoordinateRule
from infrope_env.window import ForgetRule as ForgetRule
from infrope_env.window import MemoryPolicy as MemoryPolicy
from infrope_env.window import SwitchPolicy as SwitchPolicy
from infrope_env.window import Window as Window

Prediction = Literal["velocity", "clean"]
PREDICTIONS: tuple[Prediction, ...] = ("velocity", "clean")


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


WAN_1_3B = ModelConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, latent_size=(60, 104))
WAN_14B = ModelConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40, latent_size=(60, 104))
