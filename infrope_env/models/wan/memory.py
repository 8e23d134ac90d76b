"""GPU memory that Wan needs, and what fits into which GPU: computed from shapes, nothing measured. Imports no torch.

Counted at 480x832 in bfloat16: weights, cache, window, the decoder's state and the widest moment of whatever computes.
Cache and window are counted exactly as `dynamics/cache.py` allocates them. `RESERVED` covers CUDA, the allocator and a
desktop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from infrope_env.config import WAN_1_3B, ModelConfig, Window
from infrope_env.models.wan.settings import PIXELS_PER_LATENT

GPUS_GB = (8, 12, 16, 24)
RESERVED = 600_000_000
VALUE_BYTES = 2  # bfloat16
ROTATING_BYTES = 4 + 4 + VALUE_BYTES  # per key value: as float32, rotated, and back
TEXT_BYTES = 1_900_000_000  # one layer of the text encoder and a batch of texts, see `gpu_bytes_needed` in text/lazy.py
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


def generator_memory(config: ModelConfig, window: Window) -> GeneratorMemory:
    """Return the bytes of one rollout in bfloat16, batch 1."""
    frame = config.num_layers * config.tokens_per_frame * config.dim * VALUE_BYTES  # keys of one latent frame
    tokens = window.block * config.tokens_per_frame
    return GeneratorMemory(
        weights=parameters(config) * VALUE_BYTES,
        cache=2 * window.size * frame,
        window=(2 * window.size + window.block) * frame,
        text=2 * config.num_layers * config.text_len * config.dim * VALUE_BYTES,
        activations=tokens * (2 * config.ffn_dim + 8 * config.dim) * VALUE_BYTES,
    )


def parameters(config: ModelConfig) -> int:
    """Return the number of a generator's parameters: 1,418,996,800 for Wan 1.3B."""
    dim = config.dim
    embeddings = (
        _linears(config.patch_values, dim) + _linears(config.text_dim, dim, dim) + _linears(config.freq_dim, dim, dim)
    )
    norms = 4 * dim + 2 * dim  # of queries and keys in both attentions; before the text, with a bias
    layer = LINEARS_OF_WIDTH * _linears(dim, dim) + norms + _linears(dim, config.ffn_dim, dim) + 6 * dim
    head = _linears(dim, config.patch_values) + 2 * dim
    return embeddings + _linears(dim, 6 * dim) + config.num_layers * layer + head


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
        features: Numbers alive in the widest layer, per pixel of a frame: frames x channels x copies, roughly.
    """

    weights: int
    state: float
    features: int


DECODERS = {
    "taew2_1": DecoderMemory(weights=23_000_000, state=84, features=12 * 64 * 3),
    "wan_vae": DecoderMemory(weights=253_785_062, state=2364.5, features=4 * 96 * 5),
}
"""The full VAE decodes one latent frame at a time; its state is two feature frames of every convolution (1.9 GB)."""


def memory_in_play(name: str, offload: bool) -> int:
    """Return the GPU bytes that Wan 1.3B takes with a decoder, after the prompts are encoded."""
    config, decoder = WAN_1_3B, DECODERS[name]
    needs = generator_memory(config, Window())
    rotating = config.num_layers * config.tokens_per_frame * config.dim * ROTATING_BYTES
    resident, working = needs.cache + needs.window + needs.text, max(needs.activations, rotating)
    pixels = math.prod(PIXELS_PER_LATENT * side for side in config.latent_size)
    idle = decoder.weights + round(decoder.state * pixels * VALUE_BYTES)
    decoding = idle + decoder.features * pixels * VALUE_BYTES
    if offload:
        return resident + max(needs.weights + working, decoding)
    return resident + needs.weights + max(idle + working, decoding)


def fits(needed: float, gpu_gb: int) -> bool:
    """Return whether a GPU sold with that many GB has room for that many bytes."""
    return needed + RESERVED <= gpu_gb * 2**30


def memory_table() -> str:
    """Return the table of README.md in this folder, in Markdown."""
    from infrope_env.text.lazy import HEADROOM  # imports torch

    head = "| decoder | offload | in play (computed) | " + " | ".join(f"{gpu} GB" for gpu in GPUS_GB) + " |"
    rows = [head, "|---" * (3 + len(GPUS_GB)) + "|"]
    for name in DECODERS:
        for offload in (False, True):
            needed = memory_in_play(name, offload)
            answers = " | ".join("yes" if fits(needed, gpu) else "no" for gpu in GPUS_GB)
            rows.append(f"| {name} | {'yes' if offload else 'no'} | {needed / 1e9:.1f} GB | {answers} |")
    where = " | ".join("GPU" if fits(HEADROOM * TEXT_BYTES, gpu) else "CPU" for gpu in GPUS_GB)
    rows.append(f"| prompts, once, before play | | {TEXT_BYTES / 1e9:.1f} GB (computed) | {where} |")
    return "\n".join(rows)


def _linears(*widths: int) -> int:
    """Return the number of parameters of linear layers from each width to the next."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
