"""Memory that is computed agrees with memory that is allocated."""

import pytest
import torch

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.lora import pair_shapes
from infrope_env.models.wan.memory import (
    DECODERS,
    fits,
    generator_memory,
    lora_parameters,
    memory_in_play,
    memory_table,
    parameters,
)
from infrope_env.pixels.taehv import TAEHV
from tests.models.wan.released_files import KEYS, SMALL, golden_shapes

LATENTS = torch.randn(1, 3, 16, 2, 4, generator=torch.Generator().manual_seed(0))
PIXELS = 16 * 32


@pytest.mark.parametrize(("size", "config"), [("1.3B", WAN_1_3B), ("14B", WAN_14B)])
def test_parameters_are_counted_from_the_config(size: str, config: ModelConfig) -> None:
    assert parameters(config) == KEYS[size]["n_params"]


def test_a_lora_covers_ten_layers_of_every_block() -> None:
    pairs = pair_shapes(golden_shapes("1.3B"), rank=256)
    assert len(pairs) == 2 * 10 * 30
    sizes = (a * b for a, b in pairs.values())
    assert sum(sizes) == lora_parameters(WAN_1_3B, 256)


def test_memory_is_counted_as_it_is_allocated() -> None:
    window = Window(sink=2, context=4, block=3)
    rollout = Rollout(CausalWanTransformer(SMALL).bfloat16(), window)
    memory, buffers = generator_memory(SMALL, window), rollout._buffers
    assert memory.cache == rollout.cache.keys.nbytes + rollout.cache.values.nbytes
    assert memory.window == buffers._keys.nbytes + buffers._values.nbytes + buffers._fresh_keys.nbytes
    assert memory.weights == sum(parameter.nbytes for parameter in rollout.model.parameters())
    assert memory.total > memory.weights + memory.cache + memory.window


def test_the_fast_decoder_s_state_has_the_counted_size() -> None:
    _, state = TAEHV().eval().requires_grad_(False).decode(LATENTS, None)
    assert sum(tensor.numel() for tensor in state) == DECODERS["taew2_1"].state * PIXELS


def test_the_full_vae_s_state_has_the_counted_size() -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs the extra 'wan'")
    with torch.device("meta"):  # shapes without values: 127 million of them
        network, frame = diffusers.AutoencoderKLWan(), torch.empty(1, 16, 1, 2, 4)
        cache = [None] * sum(isinstance(layer, torch.nn.Conv3d) for layer in network.decoder.modules())
        for first in (True, False, False):
            network.decoder(frame, feat_cache=cache, feat_idx=[0], first_chunk=first)
    numbers = sum(entry.numel() for entry in cache if isinstance(entry, torch.Tensor))
    assert numbers == DECODERS["wan_vae"].state * PIXELS
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) == DECODERS["wan_vae"].weights


def test_memory_grows_with_the_window_and_shrinks_by_offload() -> None:
    plain, offloaded = (memory_in_play("taew2_1", offload) for offload in (False, True))
    vae, vae_offloaded = (memory_in_play("wan_vae", offload) for offload in (False, True))
    assert plain > offloaded and vae > vae_offloaded and vae > plain
    small, large = (generator_memory(WAN_1_3B, Window.from_size(size)).total for size in (6, 12))
    assert large > small + 2 * 2**30
    assert not fits(plain, 8) and fits(plain, 12) and fits(offloaded, 8)
    assert memory_table().count("\n|") == 6
    assert memory_table().endswith("| GPU | GPU | GPU | GPU |")
