"""Names and shapes of the full-size generators, against lists that the official code printed."""

import json
import os
from pathlib import Path

import pytest

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.architecture import expected_shapes, infer_config
from infrope_env.models.wan.catalog import CHECKPOINTS
from infrope_env.models.wan.generator_memory import generator_memory, lora_parameters, parameters
from infrope_env.models.wan.layout import plain_name
from infrope_env.models.wan.lora import pair_shapes
from tests.models.wan.released_files import KEYS, SMALL, golden_shapes, sharded, small_shapes, small_weights

ROOT = Path(__file__).parents[3]
FULL_LISTS = Path(os.environ.get("INFROPE_GOLDENS") or ROOT.parent / "shared" / "goldens")
SIZES = pytest.mark.parametrize(("size", "config"), [("1.3B", WAN_1_3B), ("14B", WAN_14B)])


@SIZES
def test_every_name_and_shape_is_the_official_one(size: str, config: ModelConfig) -> None:
    shapes = golden_shapes(size)
    assert len(shapes) == KEYS[size]["n_keys"]
    assert expected_shapes(config) == shapes


@SIZES
def test_the_short_list_is_the_long_one(size: str, config: ModelConfig) -> None:
    file = FULL_LISTS / f"keys_{size}.json"
    if not file.is_file():
        pytest.skip("the long lists are not here; tests/goldens/wan_keys.json says the same in short")
    keys = json.loads(file.read_text())
    assert {plain_name(name): tuple(shape) for name, shape in keys["keys"].items()} == golden_shapes(size)
    assert all(name.startswith("model.") for name in keys["keys"])


@SIZES
def test_shapes_tell_the_architecture(size: str, config: ModelConfig) -> None:
    assert infer_config(golden_shapes(size), Path("a")) == config


@SIZES
def test_parameters_are_counted_from_the_config(size: str, config: ModelConfig) -> None:
    assert parameters(config) == KEYS[size]["n_params"]


def test_small_files_have_the_full_ones_names() -> None:
    assert expected_shapes(SMALL) == small_shapes()


def test_a_lora_covers_ten_layers_of_every_block() -> None:
    pairs = pair_shapes(golden_shapes("1.3B"), rank=256)
    assert len(pairs) == 2 * 10 * 30
    sizes = (a * b for a, b in pairs.values())
    assert sum(sizes) == lora_parameters(WAN_1_3B, 256)


def test_memory_is_counted_as_it_is_allocated() -> None:
    window = Window(sink=2, context=4, block=3)
    rollout = Rollout(CausalWanTransformer(SMALL), window)
    memory, attention = generator_memory(SMALL, window, value_bytes=4), rollout._buffers
    assert memory.cache == rollout.cache.keys.nbytes + rollout.cache.values.nbytes
    assert memory.window == attention._keys.nbytes + attention._values.nbytes + attention.fresh_keys.nbytes
    assert memory.weights == sum(parameter.nbytes for parameter in rollout.model.parameters())
    assert memory.total > memory.weights + memory.cache + memory.window


def test_marks_of_training_leave_a_name() -> None:
    assert [plain_name(name) for name in sharded(small_weights())] == list(small_weights())
    for name in (
        "model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.ffn.0.bias",
        "module.generator.model.blocks.0.ffn.0.bias",
        "_orig_mod.model._orig_mod.blocks.0.ffn.0.bias",
        "blocks.0.ffn.0.bias",
    ):
        assert plain_name(name) == "blocks.0.ffn.0.bias"


def test_names_of_rows_and_their_files_are_distinct() -> None:
    assert (
        len({row.name for row in CHECKPOINTS}) == len({(row.repo, row.file) for row in CHECKPOINTS}) == len(CHECKPOINTS)
    )
