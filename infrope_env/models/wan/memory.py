"""GPU memory that Wan needs, and what fits into which GPU. Imports no torch.

At 480x832, the generator in bfloat16 and its decoder in float16. Weights, cache and window are computed from the sizes
with which they are allocated; what comes and goes within a block is measured by `measure_memory.py`, and a test
measures it again. `RESERVED` covers CUDA, the workspaces of its libraries and a desktop; `MARGIN` covers the gaps of
the allocator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from infrope_env.config import WAN_1_3B, ModelConfig, Window

GPUS_GB = (8, 12, 16, 24)
RESERVED, MARGIN = 600_000_000, 0.05
VALUE_BYTES = 2  # bfloat16
ROTATED_BYTES = 170_000_000  # while cached keys are rotated, see `dynamics.cache.ROTATED_AT_ONCE`
TEXT_BYTES = 1_900_000_000  # one layer of the text encoder and a batch of texts, see `gpu_bytes_needed` in text/lazy.py
LINEARS_OF_WIDTH = 8  # per layer: query, key, value and output of two attentions, each dim to dim


@dataclass(frozen=True)
class GeneratorMemory:
    """Bytes of a generator on the device, by purpose.

    Attributes:
        cache: Un-rotated keys and values of cached frames, and averages of them in float32.
        window: Rotated keys and values that the attention of one block reads.
        text: Embedding, keys and values of one prompt. Other prompts and saved states are in host memory.
        activations: Widest moment of a block, measured: eager, with attention that keeps no score matrix.
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
    tokens, embedding = window.block * config.tokens_per_frame, config.text_len * config.text_dim * VALUE_BYTES
    wide = 2 * config.ffn_dim + 4.21 * config.dim  # in the feed-forward
    return GeneratorMemory(
        weights=parameters(config) * VALUE_BYTES,
        cache=2 * (window.cache_slots + 2 * window.averages) * frame,
        window=(2 * window.size + window.block) * frame,
        text=2 * config.num_layers * config.text_len * config.dim * VALUE_BYTES + embedding,
        activations=max(ROTATED_BYTES, tokens * round(wide) * VALUE_BYTES),
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
    """Bytes of a decoder in float16 at 480x832, measured.

    Attributes:
        weights: The parameters.
        decoding_weights: Those that decode; an encoder has the others.
        state: The decoder state.
        decoding: Most bytes at once beyond both while a block is decoded.
    """

    weights: int
    decoding_weights: int
    state: int
    decoding: int


DECODERS = {
    "taew2_1": DecoderMemory(19_689_222, 19_689_222, 67_092_480, 1_451_726_872),
    "wan_vae": DecoderMemory(253_785_190, 146_591_206, 1_888_573_440, 1_093_248_000),
}
ENCODING = 2_471_031_910
"""Most bytes at once while the full VAE encodes a picture of nine frames, its weights included; measured."""


def memory_in_play(name: str, offload: bool, keep_state: bool = False, config: ModelConfig = WAN_1_3B) -> int:
    """Return the GPU bytes that a generator takes at window 6 with a decoder, after the prompts are encoded.

    Args:
        name: Key of `DECODERS`.
        offload: Generator, decoder and encoder take turns.
        keep_state: Under offload, the decoder state stays on the GPU.
        config: Sizes of the generator; by default Wan 1.3B's.
    """
    decoder, needs = DECODERS[name], generator_memory(config, Window())
    resident, generating = needs.cache + needs.window + needs.text, needs.weights + needs.activations
    if not offload:
        idle = decoder.weights + decoder.state
        return resident + needs.weights + idle + max(needs.activations, decoder.decoding)
    kept, moved = (decoder.state, 0) if keep_state else (0, decoder.state)
    return resident + kept + max(generating, decoder.decoding_weights + moved + decoder.decoding)


def bytes_copied(name: str, keep_state: bool = False) -> int:
    """Return the bytes that offload copies to the GPU and back for a block; frames, 14 MB, are copied in any case."""
    decoder = DECODERS[name]
    return (
        generator_memory(WAN_1_3B, Window()).weights + decoder.decoding_weights + 2 * decoder.state * (not keep_state)
    )


def memory_at_a_picture(name: str, offload: bool) -> int:
    """Return the GPU bytes that Wan 1.3B takes while a picture to start from is encoded."""
    needs = generator_memory(WAN_1_3B, Window())
    others = 0 if offload else needs.weights + (DECODERS[name].weights if name != "wan_vae" else 0)
    return needs.cache + needs.window + needs.text + others + ENCODING


def fits(needed: float, gpu_bytes: float) -> bool:
    """Return whether a GPU with that much memory has room for that many bytes, the reserve and the margin."""
    return needed + RESERVED <= (1 - MARGIN) * gpu_bytes


def memory_table() -> str:
    """Return the table of README.md in this folder, in Markdown."""
    from infrope_env.text.lazy import HEADROOM  # imports torch

    sizes = [gpu * 2**30 for gpu in GPUS_GB]
    head = (
        "| decoder | offload | in play | with a picture | copied a block | "
        + " | ".join(f"{gpu} GB" for gpu in GPUS_GB)
        + " |"
    )
    rows = [head, "|---" * (5 + len(GPUS_GB)) + "|"]
    for name in DECODERS:
        for offload in (False, True):
            play, picture = memory_in_play(name, offload), memory_at_a_picture(name, offload)
            answers = " | ".join(_answer(play, picture, size) for size in sizes)
            copied = f"{bytes_copied(name) / 1e9:.1f} GB" if offload else ""
            needed = f"{play / 1e9:.1f} GB | {max(play, picture) / 1e9:.1f} GB | {copied}"
            rows.append(f"| {name} | {'yes' if offload else 'no'} | {needed} | {answers} |")
    where = " | ".join("GPU" if fits(HEADROOM * TEXT_BYTES, gpu) else "CPU" for gpu in sizes)
    rows.append(f"| prompts, once, before play | | {TEXT_BYTES / 1e9:.1f} GB (computed) | | | {where} |")
    return "\n".join(rows)


def _answer(play: int, picture: int, gpu_bytes: int) -> str:
    if not fits(play, gpu_bytes):
        return "no"
    return "yes" if fits(picture, gpu_bytes) else "no picture"


def _linears(*widths: int) -> int:
    """Return the number of parameters of linear layers from each width to the next."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
