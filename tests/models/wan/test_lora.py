"""Merging low-rank updates, against the library whose files they are."""

from pathlib import Path

import pytest
import torch

from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.catalog import find_checkpoint
from infrope_env.models.wan.generator import load_generator
from infrope_env.models.wan.lora import read_update
from tests.models.wan.released_files import (
    ALPHA,
    RANK,
    SMALL,
    merged,
    prefixed,
    put_into_hub_cache,
    shrunk,
    small_lora,
    small_shapes,
    small_weights,
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
