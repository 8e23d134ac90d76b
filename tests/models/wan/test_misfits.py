"""Files that do not fit, are damaged, or carry code: each is refused with a sentence."""

import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, Lora
from infrope_env.models.wan.contents import Source, open_contents
from infrope_env.models.wan.generator import load_generator
from tests.models.wan.released_files import (
    SMALL,
    prefixed,
    put_into_hub_cache,
    release,
    sharded,
    shrunk,
    small_lora,
    small_weights,
    write,
)


class Code:
    """What a pickle runs when it is read carelessly."""

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


def test_a_wrong_shape_is_told(tmp_path: Path) -> None:
    weights = small_weights() | {"head.head.bias": torch.zeros(63)}
    sentence = refusal(written(tmp_path, weights))
    assert "1 of the wrong shape ('head.head.bias' is (63,), expected (64,))" in sentence
    assert "a causal Wan DiT of 3 layers, width 128" in sentence


def test_of_many_only_a_few_are_named(tmp_path: Path) -> None:
    weights = {name: value for name, value in small_weights().items() if ".ffn.0." not in name or "blocks.0." in name}
    weights |= {f"extra.{index}": torch.zeros(1) for index in range(1000)}
    sentence = refusal(written(tmp_path, weights))
    assert "4 missing (" in sentence and "1000 unexpected ('extra.0', 'extra.1', 'extra.2', ...)" in sentence
    assert len(sentence) < 500


def test_a_stray_block_is_unexpected_and_not_built(tmp_path: Path) -> None:
    weights = small_weights() | {"blocks.99999999.modulation": torch.zeros(1, 6, 128)}
    assert "unexpected ('blocks.99999999.modulation')" in refusal(written(tmp_path, weights))


def test_a_released_name_wants_its_own_architecture(hub_cache: Path) -> None:
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


def test_a_file_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    sentence = refusal(write(tmp_path / "decoder.pt", {"decoder.0.weight": torch.zeros(1)}))
    assert "not a causal Wan generator: expected a tensor 'patch_embedding.weight' of 5 axes" in sentence
    assert "the file holds decoder.0.weight" in sentence


@pytest.mark.parametrize(
    ("entries", "says"),
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
def test_a_table_of_other_things_is_told(tmp_path: Path, entries: dict, says: str) -> None:
    assert says in refusal(write(tmp_path / "odd.pt", entries))


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    weights = small_weights()
    weights["head.head.bias"] = weights["head.head.bias"].to(torch.int8)
    assert "'head.head.bias' is int8, expected floating point" in refusal(written(tmp_path, weights))


def test_a_width_that_is_no_multiple_of_a_head_is_refused(tmp_path: Path) -> None:
    weights = {name: value[:100] if name.startswith("patch") else value for name, value in small_weights().items()}
    assert "a multiple of 128, one head of Wan's, got 100" in refusal(written(tmp_path, weights))


def lora_refusal(tmp_path: Path, entries: dict) -> str:
    files = (
        write(tmp_path / "base.pt", {"generator": prefixed(small_weights())}),
        write(tmp_path / "lora.pt", entries),
    )
    with pytest.raises(WeightsError, match=r"lora\.pt: ") as caught:
        open_contents(Source(files, ("generator",), SMALL, Lora("lora.pt", "generator_lora", 4, 2.0)))
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


def test_what_is_no_lora_is_told(tmp_path: Path) -> None:
    assert "not a LoRA: no name ends in 'lora_A.weight'" in lora_refusal(tmp_path, prefixed(small_weights()))


def test_a_row_of_a_released_lora_checks_it_too(hub_cache: Path) -> None:
    row = next(row for row in CHECKPOINTS if row.lora)
    files = release(row.name).files
    files["models/lora.pt"]["generator_lora"].popitem()
    put_into_hub_cache(hub_cache, row.repo, files)
    with pytest.raises(WeightsError, match=r"lora\.pt: does not fit a LoRA"):
        load_generator(shrunk(row))
