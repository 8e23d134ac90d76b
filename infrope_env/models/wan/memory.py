"""What Wan needs of a GPU, and what fits into which: computed from shapes at 480x832 in bfloat16, nothing measured.

Counted are weights, cache, window, the decoder's memory and the widest moment of whoever works; `RESERVED` stands for
what CUDA, the allocator and a desktop take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infrope_env.config import WAN_1_3B, ModelConfig, Window
from infrope_env.models.wan.generator_memory import generator_memory
from infrope_env.models.wan.settings import PIXELS_PER_LATENT
from infrope_env.text.lazy import ROOM

CARDS_GB = (8, 12, 16, 24)
GIB = 2**30
RESERVED = 600_000_000
VALUE_BYTES = 2  # bfloat16
ROTATING_BYTES = 4 + 4 + VALUE_BYTES  # of a frame's keys in all layers: as float32, rotated, and back
TEXT_BYTES = {"bfloat16": 11_400_000_000, "int8": 6_700_000_000}


@dataclass(frozen=True)
class DecoderNeeds:
    """Of a decoder, in bfloat16.

    Attributes:
        weights: bytes.
        memory: feature frames kept from block to block, in numbers per pixel of a frame.
        frames: pixel frames decoded together.
        channels: of the widest layer, at the frame's full size.
        copies: of that layer's features that are alive at once, about.
    """

    weights: int
    memory: float
    frames: int
    channels: int
    copies: int

    def total(self, pixels: int) -> int:
        """Weights, memory and the widest moment."""
        widest = self.frames * self.channels * self.copies * pixels * VALUE_BYTES
        return self.weights + round(self.memory * pixels * VALUE_BYTES) + widest


DECODERS = {
    "taew2_1": DecoderNeeds(weights=23_000_000, memory=84, frames=12, channels=64, copies=3),
    "wan_vae": DecoderNeeds(weights=253_785_062, memory=2364.5, frames=4, channels=96, copies=5),
}
"""The full VAE decodes one latent frame at a time and remembers two feature frames of every convolution (1.9 GB)."""


@dataclass(frozen=True)
class Mode:
    """One way to play.

    Attributes:
        bytes: of the GPU, in play; encoding prompts comes before it and is no part of it.
    """

    decoder: str
    offload: bool
    bytes: int

    def fits(self, card_gb: int) -> bool:
        """Whether a GPU sold with that many GB has room."""
        return self.bytes + RESERVED <= card_gb * GIB


def modes(config: ModelConfig = WAN_1_3B, window: Window | None = None) -> Iterator[Mode]:
    """Every combination of decoder and offload."""
    needs = generator_memory(config, window or Window(), VALUE_BYTES)
    rotating = config.num_layers * config.tokens_per_frame * config.dim * ROTATING_BYTES
    stays, works = needs.cache + needs.window + needs.text, max(needs.activations, rotating)
    height, width = (PIXELS_PER_LATENT * side for side in config.latent_size)
    for name, decoder in DECODERS.items():
        decodes, idle = decoder.total(height * width), decoder.total(0)
        idle += round(decoder.memory * height * width * VALUE_BYTES)
        yield Mode(name, False, stays + needs.weights + max(idle + works, decodes))
        yield Mode(name, True, stays + max(needs.weights + works, decodes))


def text_modes() -> Iterator[tuple[str, int, int | None]]:
    """Of the text encoder: dtype, bytes, and the smallest GPU that encodes with it; below, the CPU does."""
    for dtype, needed in TEXT_BYTES.items():
        free = (card for card in CARDS_GB if ROOM * needed + RESERVED <= card * GIB)
        yield dtype, needed, next(free, None)


def memory_table() -> str:
    """The table as it stands in the README, in Markdown."""
    head = "| decoder | offload | in play (computed) | " + " | ".join(f"{card} GB" for card in CARDS_GB) + " |"
    rows = [head, "|---" * (3 + len(CARDS_GB)) + "|"]
    for mode in modes():
        fits = " | ".join("yes" if mode.fits(card) else "no" for card in CARDS_GB)
        rows.append(f"| {mode.decoder} | {'yes' if mode.offload else 'no'} | {mode.bytes / 1e9:.1f} GB | {fits} |")
    for dtype, needed, smallest in text_modes():
        where = " | ".join("GPU" if smallest and card >= smallest else "CPU" for card in CARDS_GB)
        rows.append(f"| prompts, once, in {dtype} | | {needed / 1e9:.1f} GB (computed) | {where} |")
    return "\n".join(rows)
