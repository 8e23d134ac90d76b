"""GPU memory that Wan needs, and what fits into which GPU: computed from shapes, nothing measured. Imports no torch.

Counted at 480x832 in bfloat16: weights, cache, window, the decoder's state and the widest moment of whatever computes.
Cache and window are counted exactly as `dynamics/cache.py` allocates them. `RESERVED` covers CUDA, the allocator and a
desktop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infrope_env.config import WAN_1_3B, ModelConfig, Window
from infrope_env.models.wan.settings import PIXELS_PER_LATENT

CARDS_GB = (8, 12, 16, 24)
GIB = 2**30
RESERVED = 600_000_000
VALUE_BYTES = 2  # bfloat16
ROTATING_BYTES = 4 + 4 + VALUE_BYTES  # per key value: as float32, rotated, and back
TEXT_BYTES = {"bfloat16": 11_400_000_000, "int8": 6_700_000_000}
LINEARS_OF_WIDTH = 8  # per layer: query, key, value and output of two attentions, each dim to dim


@dataclass(frozen=True)
class GeneratorMemory:
    """Bytes of a generator on the device, by purpose.

    Attributes:
        cache: Un-rotated keys and values of cached frames.
        window: Rotated keys and values that the attention of one block reads.
        text: Keys and values of one prompt.
        activations: Widest moment of a forward pass, roughly: eager, with attention that keeps no score matrix.
    """

    weights: int
    cache: int
    window: int
    text: int
    activations: int

    @property
    def total(self) -> int:
        """Sum of all parts; text encoder, decoder and the allocator's slack come on top."""
        return self.weights + self.cache + self.window + self.text + self.activations


def generator_memory(config: ModelConfig, window: Window, value_bytes: int = VALUE_BYTES) -> GeneratorMemory:
    """Return the bytes of one rollout, batch 1; `value_bytes` is 2 for bfloat16, 4 for float32."""
    frame = config.num_layers * config.tokens_per_frame * config.dim * value_bytes  # keys of one latent frame
    tokens = window.block * config.tokens_per_frame
    return GeneratorMemory(
        weights=parameters(config) * value_bytes,
        cache=2 * window.size * frame,
        window=(2 * window.size + window.block) * frame,
        text=2 * config.num_layers * config.text_len * config.dim * value_bytes,
        activations=tokens * (2 * config.ffn_dim + 8 * config.dim) * value_bytes,
    )


def parameters(config: ModelConfig) -> int:
    """Return the number of a generator's parameters: 1,418,996,800 for Wan 1.3B."""
    dim = config.dim
    embeddings = _linear(config.patch_values, dim) + _mlp(config.text_dim, dim, dim) + _mlp(config.freq_dim, dim, dim)
    norms = 4 * dim + 2 * dim  # of queries and keys in both attentions; before the text, with a bias
    layer = LINEARS_OF_WIDTH * _linear(dim, dim) + norms + _mlp(dim, config.ffn_dim, dim) + 6 * dim
    head = _linear(dim, config.patch_values) + 2 * dim
    return embeddings + _linear(dim, 6 * dim) + config.num_layers * layer + head


def lora_parameters(config: ModelConfig, rank: int) -> int:
    """Return the number of parameters of a low-rank update of every linear layer of every `DiTBlock`."""
    widths = LINEARS_OF_WIDTH * 2 * config.dim + 2 * (config.dim + config.ffn_dim)
    return config.num_layers * rank * widths


@dataclass(frozen=True)
class DecoderMemory:
    """Memory of a decoder in bfloat16.

    Attributes:
        weights: Bytes of the parameters.
        state: Numbers in the decoder state, per pixel of a frame.
        frames: Pixel frames decoded together.
        channels: Channels of the widest layer, at the frame's full size.
        copies: Copies of that layer's features alive at once, roughly.
    """

    weights: int
    state: float
    frames: int
    channels: int
    copies: int

    def idle(self, pixels: int) -> int:
        """Return the bytes of weights and decoder state."""
        return self.weights + round(self.state * pixels * VALUE_BYTES)

    def decoding(self, pixels: int) -> int:
        """Return the bytes at the widest moment."""
        return self.idle(pixels) + self.frames * self.channels * self.copies * pixels * VALUE_BYTES


DECODERS = {
    "taew2_1": DecoderMemory(weights=23_000_000, state=84, frames=12, channels=64, copies=3),
    "wan_vae": DecoderMemory(weights=253_785_062, state=2364.5, frames=4, channels=96, copies=5),
}
"""The full VAE decodes one latent frame at a time; its state is two feature frames of every convolution (1.9 GB)."""


@dataclass(frozen=True)
class Mode:
    """A way to play.

    Attributes:
        offload: Idle weights of generator and decoder stay in host memory.
        bytes: GPU memory in play; prompts are encoded before it.
    """

    decoder: str
    offload: bool
    bytes: int

    def fits(self, card_gb: int) -> bool:
        """Return whether a GPU sold with that many GB has room."""
        return self.bytes + RESERVED <= card_gb * GIB


def modes(config: ModelConfig = WAN_1_3B, window: Window | None = None) -> Iterator[Mode]:
    """Yield every combination of decoder and offload."""
    needs = generator_memory(config, window or Window())
    rotating = config.num_layers * config.tokens_per_frame * config.dim * ROTATING_BYTES
    resident, working = needs.cache + needs.window + needs.text, max(needs.activations, rotating)
    height, width = (PIXELS_PER_LATENT * side for side in config.latent_size)
    for name, decoder in DECODERS.items():
        decoding, idle = decoder.decoding(height * width), decoder.idle(height * width)
        yield Mode(name, False, resident + needs.weights + max(idle + working, decoding))
        yield Mode(name, True, resident + max(needs.weights + working, decoding))


def text_modes() -> Iterator[tuple[str, int, int | None]]:
    """Yield dtype, bytes and smallest GPU (in GB) of the text encoder; on a smaller GPU the CPU encodes."""
    from infrope_env.text.lazy import HEADROOM  # imports torch

    for dtype, needed in TEXT_BYTES.items():
        roomy = (card for card in CARDS_GB if HEADROOM * needed + RESERVED <= card * GIB)
        yield dtype, needed, next(roomy, None)


def memory_table() -> str:
    """Return the table of README.md in this folder, in Markdown."""
    head = "| decoder | offload | in play (computed) | " + " | ".join(f"{card} GB" for card in CARDS_GB) + " |"
    rows = [head, "|---" * (3 + len(CARDS_GB)) + "|"]
    for mode in modes():
        fits = " | ".join("yes" if mode.fits(card) else "no" for card in CARDS_GB)
        rows.append(f"| {mode.decoder} | {'yes' if mode.offload else 'no'} | {mode.bytes / 1e9:.1f} GB | {fits} |")
    for dtype, needed, smallest in text_modes():
        where = " | ".join("GPU" if smallest and card >= smallest else "CPU" for card in CARDS_GB)
        rows.append(f"| prompts, once, in {dtype} | | {needed / 1e9:.1f} GB (computed) | {where} |")
    return "\n".join(rows)


def _mlp(inputs: int, hidden: int, outputs: int) -> int:
    return _linear(inputs, hidden) + _linear(hidden, outputs)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
