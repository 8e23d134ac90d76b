"""Merging low-rank updates, against the library whose files they are."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, find_checkpoint
from infrope_env.models.wan.generator import GeneratorFiles, load_generator, open_generator
from infrope_env.models.wan.lora import read_own_update, read_update
from tests.models.wan.released_files import (
    ALPHA,
    RANK,
    SMALL,
    merged,
    prefixed,
    put_into_hub_cache,
    release,
    shrunk,
    small_lora,
    small_shapes,
    small_weights,
    write,
)


def test_a_longlive_repository_is_merged_as_peft_merges_it(hub_cache: Path) -> None:
    peft = pytest.importorskip("peft")
    model = CausalWanTransformer(SMALL)
    model.load_state_dict(small_weights())
    linears = [
        name
        for name, module in model.named_modules()
        if name.startswith("blocks.") and isinstance(module, torch.nn.Linear)
    ]
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=linears))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at first
            torch.nn.init.normal_(parameter, std=0.3)
    saved = {name: value.clone() for name, value in peft.get_peft_model_state_dict(adapted).items()}
    files = {"models/longlive_base.pt": {"generator": prefixed(small_weights())}}
    put_into_hub_cache(
        hub_cache, "Efficient-Large-Model/LongLive-1.3B", files | {"models/lora.pt": {"generator_lora": saved}}
    )

    ours = load_generator(shrunk(find_checkpoint("longlive")), dtype=torch.float32).transformer.state_dict()
    theirs = adapted.merge_and_unload().state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-6) for name in ours)
    assert all(not ours[f"{name}.weight"].equal(small_weights()[f"{name}.weight"]) for name in linears)


def test_names_that_peft_leaves_whole_are_the_same_update() -> None:
    whole = {name.replace(".weight", ".default.weight"): value for name, value in small_lora().items()}
    expected = merged(small_weights(), small_lora())
    for entries in (small_lora(), whole, {"generator_lora": whole}):
        update = read_update(entries, "generator_lora", ALPHA, small_shapes(), Path("lora.pt"))
        for name, weight in small_weights().items():
            assert torch.allclose(update.merge(name, weight), expected[name], rtol=0, atol=1e-6)


def test_a_merge_is_computed_in_float32() -> None:
    halves = {name: value.bfloat16() for name, value in small_lora().items()}
    update = read_update(halves, "generator_lora", ALPHA, small_shapes(), Path("lora.pt"))
    name = "blocks.0.ffn.0.weight"
    weight = small_weights()[name].bfloat16()
    expected = merged(
        {name: weight.float()} | small_weights() | {name: weight.float()}, {n: v.float() for n, v in halves.items()}
    )
    assert update.merge(name, weight).dtype == torch.float32
    assert torch.allclose(update.merge(name, weight), expected[name], rtol=0, atol=1e-6)


def lora_refusal(tmp_path: Path, entries: dict) -> str:
    files = (
        write(tmp_path / "base.pt", {"generator": prefixed(small_weights())}),
        write(tmp_path / "lora.pt", entries),
    )
    with pytest.raises(WeightsError, match=r"lora\.pt: ") as caught:
        open_generator(GeneratorFiles(files[:1], shrunk(find_checkpoint("longlive")), SMALL, lora=files[1]))
    return str(caught.value)


def test_a_lora_that_lacks_a_pair_is_refused(tmp_path: Path) -> None:
    pairs = small_lora()
    del pairs["base_model.model.blocks.2.cross_attn.o.lora_B.weight"]
    sentence = lora_refusal(tmp_path, {"generator_lora": pairs})
    assert "a LoRA of rank 4 on every linear layer of every block: of 60 tensors, 1 missing" in sentence
    assert "'blocks.2.cross_attn.o.lora_B.weight'" in sentence


def test_a_lora_of_another_model_is_refused(tmp_path: Path) -> None:
    pairs = {name: value[:, :-1] for name, value in small_lora().items()}
    assert "60 of the wrong shape" in lora_refusal(tmp_path, {"generator_lora": pairs})


def test_a_file_that_is_no_lora_is_refused(tmp_path: Path) -> None:
    assert "not a LoRA: no name ends in 'lora_A.weight'" in lora_refusal(tmp_path, prefixed(small_weights()))


def test_the_lora_of_a_released_row_is_checked_too(hub_cache: Path) -> None:
    row = next(row for row in CHECKPOINTS if row.lora)
    files = release(row.name).files
    files["models/lora.pt"]["generator_lora"].popitem()
    put_into_hub_cache(hub_cache, row.repo, files)
    with pytest.raises(WeightsError, match=r"lora\.pt: does not fit a LoRA"):
        load_generator(shrunk(row))


# a LoRA of the user's own

LAYER = "blocks.1.self_attn.q"
DIFFUSERS_LAYER = "blocks.1.attn1.to_q"


def pair(layer: str, down: str = "lora_A", up: str = "lora_B", rank: int = RANK) -> dict[str, torch.Tensor]:
    """Return the pair of one layer of 128 x 128 under the names of a project."""
    random = torch.Generator().manual_seed(11)
    return {
        f"{layer}.{down}.weight": torch.randn(rank, 128, generator=random) / 4,
        f"{layer}.{up}.weight": torch.randn(128, rank, generator=random) / 4,
    }


def delta(rank: int = RANK) -> torch.Tensor:
    """Return the update of that pair at scale 1, written out by hand."""
    down, up = pair(LAYER, rank=rank).values()
    return up @ down


def loaded(tmp_path: Path, lora: Path) -> dict[str, torch.Tensor]:
    base = write(tmp_path / "base.safetensors", prefixed(small_weights()))
    return load_generator(base, dtype=torch.float32, lora=lora).transformer.state_dict()


def changed(state: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in small_weights().items() if not state[name].equal(value)}


@pytest.mark.parametrize(
    ("entries", "scale"),
    [
        (pair(f"base_model.model.{LAYER}"), 1.0),  # PEFT
        ({"generator_lora": pair(f"base_model.model.{LAYER}")}, 1.0),  # LongLive's code
        (pair(f"diffusion_model.{LAYER}"), 1.0),  # Comfy
        (pair(f"diffusion_model.{LAYER}") | {f"diffusion_model.{LAYER}.alpha": torch.tensor(2.0)}, 2 / RANK),
        (pair(f"diffusion_model.{LAYER}", "lora_down", "lora_up"), 1.0),
        (pair(f"transformer.{DIFFUSERS_LAYER}"), 1.0),  # diffusers
        (
            pair("lora_unet_blocks_1_self_attn_q", "lora_down", "lora_up")
            | {"lora_unet_blocks_1_self_attn_q.alpha": torch.tensor(8.0)},
            8 / RANK,
        ),  # kohya
    ],
    ids=["peft", "longlive", "comfy", "comfy-alpha", "down-up", "diffusers", "kohya"],
)
def test_a_partial_lora_of_any_project_updates_its_layer_only(tmp_path: Path, entries: dict, scale: float) -> None:
    suffix = "pt" if "generator_lora" in entries else "safetensors"
    state = loaded(tmp_path, write(tmp_path / f"mine.{suffix}", entries))
    assert changed(state) == {f"{LAYER}.weight"}
    expected = small_weights()[f"{LAYER}.weight"] + scale * delta()
    assert torch.allclose(state[f"{LAYER}.weight"], expected, rtol=0, atol=1e-5)


def test_whole_differences_of_weights_biases_and_modulations_are_added(tmp_path: Path) -> None:
    entries = {
        "diffusion_model.blocks.0.norm3.diff": torch.ones(128),
        "diffusion_model.blocks.0.ffn.0.diff_b": torch.full((160,), 2.0),
        "diffusion_model.blocks.2.diff_m": torch.full((1, 6, 128), 3.0),
        "diffusion_model.head.head.diff": torch.ones(64, 128),
    }
    state = loaded(tmp_path, write(tmp_path / "mine.safetensors", entries))
    added = {"blocks.0.norm3.weight": 1, "blocks.0.ffn.0.bias": 2, "blocks.2.modulation": 3, "head.head.weight": 1}
    assert changed(state) == added.keys()
    assert all(torch.allclose(state[name] - small_weights()[name], torch.tensor(float(n))) for name, n in added.items())


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ('{"r": 4, "lora_alpha": 8}', 2.0),
        ('{"r": 4, "lora_alpha": 8, "use_rslora": true}', 4.0),
        ('{"r": 4, "lora_alpha": 8, "alpha_pattern": {"self_attn.q": 1}}', 0.25),
        ('{"r": 16, "lora_alpha": 8, "rank_pattern": {"blocks.1.attn1.to_q": 4}}', 2.0),
    ],
)
def test_alpha_comes_from_the_adapter_config_beside_the_file(tmp_path: Path, config: str, scale: float) -> None:
    folder = tmp_path / "adapter"
    write(folder / "adapter_model.safetensors", pair(f"base_model.model.{LAYER}"))
    (folder / "adapter_config.json").write_text(config)
    state = loaded(tmp_path, folder)  # the folder stands for the file
    assert torch.allclose(
        state[f"{LAYER}.weight"] - small_weights()[f"{LAYER}.weight"], scale * delta(), rtol=0, atol=1e-5
    )


def test_alpha_comes_from_the_header_that_diffusers_writes(tmp_path: Path) -> None:
    path, notes = tmp_path / "pytorch_lora_weights.safetensors", {"transformer.r": RANK, "transformer.lora_alpha": 2}
    save_file(pair(f"transformer.{DIFFUSERS_LAYER}"), path, {"lora_adapter_metadata": json.dumps(notes)})
    difference = loaded(tmp_path, path)[f"{LAYER}.weight"] - small_weights()[f"{LAYER}.weight"]
    assert torch.allclose(difference, 2 / RANK * delta(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("entries", "config", "sentence"),
    [
        (
            pair("diffusion_model.blocks.1.cross_attn.k_img"),
            "",
            "2 unexpected ('blocks.1.cross_attn.k_img.lora_A.weight",
        ),
        (pair("diffusion_model.blocks.9.self_attn.q"), "", "2 unexpected ('blocks.9.self_attn.q.lora_A.weight'"),
        (
            pair("blocks.1.ffn.0"),
            "",
            "1 of the wrong shape ('blocks.1.ffn.0.lora_B.weight' is (128, 4), expected (160, 4)",
        ),
        ({f"{LAYER}.lora_A.weight": torch.ones(4, 128)}, "", f"1 missing ('{LAYER}.lora_B.weight')"),
        (pair(LAYER) | {f"{LAYER}.lora_magnitude_vector": torch.ones(128)}, "", "1 unexpected ("),
        ({f"{LAYER}.hada_w1_a": torch.ones(4, 4)}, "", "not a LoRA: no name ends in 'lora_A.weight'"),
        (pair(LAYER) | {f"{LAYER}.alpha": torch.tensor(float("nan"))}, "", "to be one finite number"),
        (
            {name: value.to(torch.float8_e4m3fn) for name, value in pair(LAYER).items()},
            "",
            "is float8_e4m3fn, expected",
        ),
        (pair(LAYER), '{"r": 8, "lora_alpha": 8}', "says rank 8 for 'blocks.1.self_attn.q', the LoRA beside it has 4"),
        (pair(LAYER), '{"r": 0, "lora_alpha": 8}', "expected r to be a whole number of at least 1, got 0"),
        (pair(LAYER), '{"r": 4, "lora_alpha": "8"}', "expected lora_alpha to be a number, got '8'"),
        (
            pair(LAYER),
            '{"r": 4, "lora_alpha": 8, "alpha_pattern": [1]}',
            "expected alpha_pattern to be an object of numb",
        ),
        (pair(LAYER), "{", "adapter_config.json: Expecting property name"),
    ],
)
def test_a_lora_that_fits_no_layer_or_states_no_scale_is_refused(
    tmp_path: Path, entries: dict, config: str, sentence: str
) -> None:
    path = write(tmp_path / "lora" / "mine.safetensors", entries)
    if config:
        path.with_name("adapter_config.json").write_text(config)
    with pytest.raises(WeightsError) as caught:
        read_own_update(path, small_shapes())
    assert sentence in str(caught.value)


def test_a_lora_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"No LoRA at .*nowhere: expected a file, or a folder with adapter_model\.saf"
    ):
        loaded(tmp_path, tmp_path / "nowhere")


def test_the_user_s_lora_comes_on_top_of_the_row_s_and_the_row_s_own_is_merged_once(hub_cache: Path) -> None:
    row = shrunk(find_checkpoint("longlive"))
    put_into_hub_cache(hub_cache, row.repo, release(row.name).files)
    plain = load_generator(row, dtype=torch.float32).transformer.state_dict()
    mine = write(hub_cache / "mine.safetensors", pair(LAYER))
    state = load_generator(row, dtype=torch.float32, lora=mine).transformer.state_dict()
    assert torch.allclose(state[f"{LAYER}.weight"] - plain[f"{LAYER}.weight"], delta(), rtol=0, atol=1e-5)
    released = next(hub_cache.rglob("lora.pt"))
    again = load_generator(row, dtype=torch.float32, lora=released).transformer.state_dict()
    assert all(value.equal(plain[name]) for name, value in again.items())


def test_the_summary_of_an_update_has_its_layers_ranks_and_scales(tmp_path: Path) -> None:
    entries = pair(LAYER) | pair("blocks.2.cross_attn.o", rank=8) | {"blocks.2.cross_attn.o.alpha": torch.tensor(2.0)}
    update = read_own_update(write(tmp_path / "mine.safetensors", entries), small_shapes())
    assert update.describe() == "2 layers of rank 4 to 8, scale 0.25 to 1"
