"""Names and shapes of released files, and files that do not fit, are damaged, or carry code."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig
from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS
from infrope_env.models.wan.checkpoint_layout import infer_config, plain_name
from infrope_env.models.wan.generator import load_generator, transformer_shapes
from tests.models.wan.released_files import (
    KEYS,
    SMALL,
    golden_shapes,
    prefixed,
    put_into_hub_cache,
    release,
    sharded,
    small_shapes,
    small_weights,
    write,
)

ROOT = Path(__file__).parents[3]
FULL_LISTS = Path(os.environ.get("INFROPE_GOLDENS") or ROOT.parent / "shared" / "goldens")
SIZES = pytest.mark.parametrize(("size", "config"), [("1.3B", WAN_1_3B), ("14B", WAN_14B)])


# names


@SIZES
def test_every_name_and_shape_is_the_official_one(size: str, config: ModelConfig) -> None:
    shapes = golden_shapes(size)
    assert len(shapes) == KEYS[size]["n_keys"]
    assert transformer_shapes(config) == shapes


@SIZES
def test_the_short_list_is_the_long_one(size: str, config: ModelConfig) -> None:
    file = FULL_LISTS / f"keys_{size}.json"
    if not file.is_file():
        pytest.skip("the long lists are not here; tests/goldens/wan_keys.json has the same names")
    keys = json.loads(file.read_text())
    assert {plain_name(name): tuple(shape) for name, shape in keys["keys"].items()} == golden_shapes(size)
    assert all(name.startswith("model.") for name in keys["keys"])


@SIZES
def test_shapes_imply_the_config(size: str, config: ModelConfig) -> None:
    assert infer_config(golden_shapes(size), Path("a")) == config


def test_small_files_have_the_full_ones_names() -> None:
    assert transformer_shapes(SMALL) == small_shapes()


def test_traces_of_training_are_removed_from_names() -> None:
    assert [plain_name(name) for name in sharded(small_weights())] == list(small_weights())
    for name in (
        "model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.ffn.0.bias",
        "module.generator.model.blocks.0.ffn.0.bias",
        "_orig_mod.model._orig_mod.blocks.0.ffn.0.bias",
        "blocks.0.ffn.0.bias",
    ):
        assert plain_name(name) == "blocks.0.ffn.0.bias"


# misfits


class Code:
    """An object whose unpickling runs a command."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.witness}",)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_generator(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and sentence.endswith((".", ")")) and "\n" not in sentence
    return sentence


def written(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    return write(tmp_path / "ema_model.pt", {"generator_ema": sharded(weights)})


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    weights = small_weights()
    del weights["blocks.1.ffn.2.bias"]
    assert "of 96 tensors, 1 missing ('blocks.1.ffn.2.bias')" in refusal(written(tmp_path, weights))


def test_a_renamed_tensor_is_missing_and_unexpected(tmp_path: Path) -> None:
    weights = small_weights()
    weights["blocks.1.ffn.1.bias"] = weights.pop("blocks.1.ffn.2.bias")
    sentence = refusal(written(tmp_path, weights))
    assert "1 missing ('blocks.1.ffn.2.bias'), 1 unexpected ('blocks.1.ffn.1.bias')" in sentence


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    weights = small_weights() | {"head.head.bias": torch.zeros(63)}
    sentence = refusal(written(tmp_path, weights))
    assert "1 of the wrong shape ('head.head.bias' is (63,), expected (64,))" in sentence
    assert "a causal Wan DiT of 3 layers, width 128" in sentence


def test_only_a_few_of_many_tensors_are_named(tmp_path: Path) -> None:
    weights = {name: value for name, value in small_weights().items() if ".ffn.0." not in name or "blocks.0." in name}
    weights |= {f"extra.{index}": torch.zeros(1) for index in range(1000)}
    sentence = refusal(written(tmp_path, weights))
    assert "4 missing (" in sentence and "1000 unexpected ('extra.0', 'extra.1', 'extra.2', ...)" in sentence
    assert len(sentence) < 500


def test_a_stray_block_is_unexpected_and_not_built(tmp_path: Path) -> None:
    weights = small_weights() | {"blocks.99999999.modulation": torch.zeros(1, 6, 128)}
    assert "unexpected ('blocks.99999999.modulation')" in refusal(written(tmp_path, weights))


def test_a_released_name_requires_its_own_architecture(hub_cache: Path) -> None:
    row = CHECKPOINTS[0]
    put_into_hub_cache(hub_cache, row.repo, release(row.name).files)
    with pytest.raises(
        WeightsError, match=r"does not fit a causal Wan DiT of 30 layers, width 1536: of 825 tensors, 729 mis"
    ):
        load_generator(row.name)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("part", [0.3, 0.98])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, part: float) -> None:
    path = write(tmp_path / name, prefixed(small_weights()))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    assert "truncated or damaged. Get it again" in refusal(path)


@pytest.mark.parametrize("size", [0, 5])
def test_almost_nothing_is_no_checkpoint(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "model.pt", prefixed(small_weights()))
    path.write_bytes(b"<html>"[:size])
    assert "neither a .pt nor a .safetensors file" in refusal(path)


def test_a_pickle_that_carries_code_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    path = write(tmp_path / "evil.pt", {"generator_ema": sharded(small_weights()), "config": Code(witness)})
    assert re.search(r"holds more than tensors \((posix|nt)\.system\), which reading would have to run", refusal(path))
    assert not witness.exists()


def test_a_pickle_of_the_old_kind_is_refused_and_not_run(tmp_path: Path) -> None:
    witness, path = tmp_path / "ran", tmp_path / "old.pt"
    torch.save({"a": Code(witness)}, path, _use_new_zipfile_serialization=False)
    assert "from before 1.6, which cannot be mapped and may carry code" in refusal(path)
    assert not witness.exists()


def test_an_error_about_another_file_lists_what_it_holds(tmp_path: Path) -> None:
    sentence = refusal(write(tmp_path / "decoder.pt", {"decoder.0.weight": torch.zeros(1)}))
    assert "not a causal Wan generator: expected a tensor 'patch_embedding.weight' of 5 axes" in sentence
    assert "the file holds decoder.0.weight" in sentence


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"critic": {"a": torch.zeros(1)}}, "expected the file to hold tensors only, it holds 'critic'. None of gener"),
        ({"generator": {"a": torch.zeros(1), "step": 3}}, "expected 'generator' to hold tensors only, it holds 'step'"),
        ({"generator": {}}, "expected 'generator' to hold tensors only, it holds 'nothing'"),
        ([torch.zeros(1)], "expected a table of tensors, got list"),
        (
            {"a.b": torch.zeros(1), "model.a.b": torch.zeros(1)},
            "two tensors are called 'a.b' once prefixes are removed",
        ),
    ],
)
def test_a_table_of_other_things_is_refused(tmp_path: Path, entries: dict, sentence: str) -> None:
    assert sentence in refusal(write(tmp_path / "odd.pt", entries))


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    weights = small_weights()
    weights["head.head.bias"] = weights["head.head.bias"].to(torch.int8)
    assert "'head.head.bias' is int8, expected floating point" in refusal(written(tmp_path, weights))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_one_byte_floats_are_no_weights_without_their_scales(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {f"model.diffusion_model.{name}": value for name, value in small_weights().items()}
    name = "model.diffusion_model.blocks.0.ffn.0.weight"
    weights[name] = weights[name].to(dtype)
    sentence = refusal(write(tmp_path / "fp8_scaled.safetensors", weights))
    assert f"'blocks.0.ffn.0.weight' is {str(dtype)[6:]}, expected floating point of two or four bytes" in sentence
    assert "Quantized files are not read: get the file in bfloat16" in sentence


@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        (
            48,
            "a generator of Wan 2.2's 5B kind, as LongLive 2, with 48 latent channels; the decoders here have Wan 2.1",
        ),
        (36, "an image-to-video generator, which also reads a mask and a picture"),
        (20, "a generator with 20 input channels"),
    ],
)
def test_a_generator_of_other_latents_is_refused_by_what_it_is(tmp_path: Path, channels: int, kind: str) -> None:
    weights = small_weights() | {"patch_embedding.weight": torch.zeros(128, channels, 1, 2, 2)}
    weights |= {"head.head.weight": torch.zeros(4 * channels, 128), "head.head.bias": torch.zeros(4 * channels)}
    sentence = refusal(written(tmp_path, weights))
    assert kind in sentence and sentence.endswith("Expected 16 input channels.")


def test_diffusers_names_do_not_hide_a_generator_of_other_latents(tmp_path: Path) -> None:
    entries = {
        "condition_embedder.time_proj.bias": torch.zeros(1),
        "patch_embedding.weight": torch.zeros(8, 48, 1, 2, 2),
    }
    assert "LongLive 2, with 48 latent channels" in refusal(write(tmp_path / "model.safetensors", entries))


def test_a_file_in_rcm_s_layout_is_refused_by_name(tmp_path: Path) -> None:
    weights = {f"net.{name}": value for name, value in small_weights().items()}
    weights["net.patch_embedding.weight"] = torch.zeros(128, 64)
    assert "a generator in rCM's layout, with a linear patch embedding" in refusal(write(tmp_path / "rcm.pt", weights))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vace_blocks.0.before_proj.weight", "a VACE generator"), ("img_emb.proj.0.bias", "an image-to-video generator")],
)
def test_a_generator_with_modules_for_pictures_is_refused_by_what_it_is(tmp_path: Path, name: str, kind: str) -> None:
    sentence = refusal(written(tmp_path, small_weights() | {name: torch.zeros(128)}))
    assert f": {kind}, with {name.split('.')[0] + '.'!r} modules: only text-to-video" in sentence


def test_a_width_that_is_no_multiple_of_a_head_is_refused(tmp_path: Path) -> None:
    weights = {name: value[:100] if name.startswith("patch") else value for name, value in small_weights().items()}
    assert "a multiple of 128, one head of Wan's, got 100" in refusal(written(tmp_path, weights))
