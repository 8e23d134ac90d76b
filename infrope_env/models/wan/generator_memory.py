"""What a generator needs, computed from its shapes. Integers only: nothing is measured here, and what says so is told.

The cache and the window are counted exactly as `dynamics/cache.py` allocates them.
"""

from __future__ import annotations

from dataclasses import dataclass

from infrope_env.config import ModelConfig, Window

LINEARS_OF_WIDTH = 8  # in a block: query, key, value and output of two attentions, each dim to dim


@dataclass(frozen=True)
class GeneratorMemory:
    """Bytes on the device, by what they are for.

    Attributes:
        weights: of the generator.
        cache: un-rotated keys and values that are remembered.
        window: rotated keys and values that one block's attention reads.
        text: keys and values of a prompt.
        activations: of a pass at its widest, about: eager, with attention that does not write its matrix out.
    """

    weights: int
    cache: int
    window: int
    text: int
    activations: int

    @property
    def total(self) -> int:
        """All of it; text encoder, decoder and the allocator's slack come on top."""
        return self.weights + self.cache + self.window + self.text + self.activations


def generator_memory(config: ModelConfig, window: Window, value_bytes: int = 2) -> GeneratorMemory:
    """Bytes that one rollout takes, batch 1; `value_bytes` is 2 for bfloat16, 4 for float32."""
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
    """How many numbers the generator has: 1,418,996,800 for Wan 1.3B."""
    dim = config.dim
    embeddings = _linear(config.patch_values, dim) + _mlp(config.text_dim, dim, dim) + _mlp(config.freq_dim, dim, dim)
    head = _linear(dim, config.patch_values) + 2 * dim
    return embeddings + _linear(dim, 6 * dim) + config.num_layers * _block_parameters(config) + head


def lora_parameters(config: ModelConfig, rank: int) -> int:
    """How many numbers a low-rank update of every linear layer of every block has."""
    widths = LINEARS_OF_WIDTH * 2 * config.dim + 2 * (config.dim + config.ffn_dim)
    return config.num_layers * rank * widths


def _block_parameters(config: ModelConfig) -> int:
    dim = config.dim
    norms = 4 * dim + 2 * dim  # queries' and keys' in both attentions; before the text, with a bias
    return LINEARS_OF_WIDTH * _linear(dim, dim) + norms + _mlp(dim, config.ffn_dim, dim) + 6 * dim


def _mlp(inputs: int, hidden: int, outputs: int) -> int:
    return _linear(inputs, hidden) + _linear(hidden, outputs)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
