"""Merging low-rank updates, against the library whose files they are."""

from pathlib import Path

import pytest
import torch

from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, find_checkpoint
from infrope_env.models.wan.generator import GeneratorFiles, load_generator, open_generator
from infrope_env.models.wan.lora import read_update
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
        open_generator(GeneratorFiles(files, shrunk(find_checkpoint("longlive")), SMALL))
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
