"""Memory that is computed agrees with memory that is allocated."""

import pytest

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.lora import linear_layers, pair_shapes
from infrope_env.models.wan.memory import (
    DECODERS,
    RESERVED,
    bytes_copied,
    fits,
    generator_memory,
    lora_parameters,
    memory_in_play,
    memory_table,
    parameters,
)
from tests.models.wan.released_files import KEYS, SMALL, golden_shapes

GIB = 2**30


@pytest.mark.parametrize(("size", "config"), [("1.3B", WAN_1_3B), ("14B", WAN_14B)])
def test_parameters_are_counted_from_the_config(size: str, config: ModelConfig) -> None:
    assert parameters(config) == KEYS[size]["n_params"]


def test_a_lora_covers_ten_layers_of_every_block() -> None:
    shapes = golden_shapes("1.3B")
    pairs = pair_shapes(shapes, {layer: 256 for layer in linear_layers(shapes) if layer.startswith("blocks.")})
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


def test_memory_grows_with_the_window_and_shrinks_by_offload() -> None:
    plain, offloaded = (memory_in_play("taew2_1", offload) for offload in (False, True))
    vae, vae_offloaded = (memory_in_play("wan_vae", offload) for offload in (False, True))
    assert plain > offloaded and vae > vae_offloaded and vae > plain
    small, large = (generator_memory(WAN_1_3B, Window.from_size(size)).total for size in (6, 12))
    assert large > small + 2 * 2**30
    assert not fits(plain, 8 * GIB) and fits(plain, 12 * GIB) and fits(vae_offloaded, 8 * GIB)
    kept = memory_in_play("wan_vae", offload=True, keep_state=True)
    assert not fits(kept, 8 * GIB) and fits(kept, 12 * GIB) and kept < vae
    assert bytes_copied("wan_vae") - bytes_copied("wan_vae", keep_state=True) == 2 * DECODERS["wan_vae"].state
    assert memory_table().count("\n|") == 6


def test_a_gpu_keeps_a_reserve_and_a_margin() -> None:
    assert fits(0.95 * GIB - RESERVED, GIB) and not fits(0.96 * GIB - RESERVED, GIB)


def test_prompts_are_encoded_on_every_gpu_of_the_table() -> None:
    assert memory_table().endswith("| GPU | GPU | GPU | GPU |")
