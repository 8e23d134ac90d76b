"""UMT5's files in every layout, whole and damaged."""

import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

from infrope_env.errors import WeightsError
from infrope_env.text.umt5 import UMT5TextEncoder
from infrope_env.text.umt5_files import UMT5Files, UMT5Sizes, transformers_name
from tests.text.tiny_umt5 import PROMPT, SIZES, copy_folder, original_weights, weights_of


def test_the_original_file_gives_the_same_embeddings(original: Path, encoder: UMT5TextEncoder) -> None:
    assert UMT5TextEncoder.from_folder(original, dtype="float32")([PROMPT]).equal(encoder([PROMPT]))


def test_every_name_of_the_original_layout_is_one_of_transformers(twin: Path) -> None:
    names = {transformers_name(name) for name in original_weights(twin)}
    assert names == weights_of(twin).keys() and len(names) == 10 * SIZES["num_layers"] + 2
    assert transformers_name("blocks.3.cross_attn.q.weight") == "blocks.3.cross_attn.q.weight"


def test_sizes_are_read_off_the_tensors(twin: Path) -> None:
    files = UMT5Files.find(twin)
    sizes = UMT5Sizes.of(files.tensors(), files.folder)
    assert sizes == UMT5Sizes(vocab_size=64, relative_attention_num_buckets=32, **SIZES)


def damage_file(folder: Path, damage: str) -> None:
    weights = folder / "models_t5_umt5-xxl-enc-bf16.pth"
    tensors = torch.load(weights)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-5000])
    elif damage == "a list":
        torch.save([1, 2], weights)
    elif damage == "a tensor too few":
        torch.save({name: tensor for name, tensor in tensors.items() if name != "blocks.1.attn.o.weight"}, weights)
    elif damage == "a tensor too many":
        torch.save(tensors | {"head.weight": torch.zeros(2)}, weights)
    elif damage == "another shape":
        torch.save(tensors | {"norm.weight": torch.zeros(2)}, weights)
    elif damage == "another model":
        torch.save({"patch_embedding.weight": torch.zeros(2)}, weights)
    elif damage == "no tokenizer":
        (folder / "google" / "umt5-xxl" / "tokenizer.json").unlink()
    elif damage == "half a tokenizer":
        (folder / "google" / "umt5-xxl" / "tokenizer.json").write_text("{")
    elif damage == "no end mark":
        Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0)).save(str(folder / "google/umt5-xxl/tokenizer.json"))
    else:
        weights.unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("nothing there", "holds no UMT5 text encoder: expected one of text_encoder/model"),
        ("truncated", "enc-bf16.pth: truncated or damaged. Get it again"),
        ("a list", "enc-bf16.pth: expected a table of tensors, got list"),
        ("a tensor too few", "of 33 tensors, 1 missing ('encoder.block.1.layer.0.SelfAttention.o.weight')"),
        ("a tensor too many", "fit UMT5: of 33 tensors, 1 unexpected ('head.weight'). Download the folder again."),
        ("another shape", "1 of the wrong shape ('encoder.final_layer_norm.weight' is (2,), expected (16,))"),
        ("another model", "not the weights of a UMT5 encoder, they have no tensor 'shared.weight'"),
        ("no tokenizer", "tokenizer.json is missing: the text encoder needs its tokenizer"),
        ("half a tokenizer", "tokenizer.json: not a tokenizer"),
        ("no end mark", "expected UMT5's tokenizer, which ends every text with </s>"),
    ],
)
def test_a_damaged_download_is_one_sentence(original: Path, tmp_path: Path, damage: str, sentence: str) -> None:
    damage_file(copy_folder(original, tmp_path), damage)
    with pytest.raises(WeightsError) as caught:
        UMT5TextEncoder.from_folder(tmp_path)
    assert sentence in str(caught.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def test_a_file_that_runs_code_is_refused_and_does_not_run_it(original: Path, tmp_path: Path) -> None:
    copy_folder(original, tmp_path)
    torch.save({"norm.weight": Trap(tmp_path / "sprung")}, tmp_path / "models_t5_umt5-xxl-enc-bf16.pth")
    with pytest.raises(WeightsError, match=r"holds more than tensors \((posix|nt)\.mkdir\)"):
        UMT5TextEncoder.from_folder(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_the_fingerprint_is_of_weights_tokenizer_and_dtype(original: Path, tmp_path: Path) -> None:
    prints = {UMT5Files.find(original).fingerprint(dtype) for dtype in ("bfloat16", "int8")}
    copy = copy_folder(original, tmp_path)
    assert UMT5Files.find(copy).fingerprint("int8") in prints
    weights, tokenizer = copy / "models_t5_umt5-xxl-enc-bf16.pth", copy / "google" / "umt5-xxl" / "tokenizer.json"
    for file in (weights, tokenizer):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        prints.add(UMT5Files.find(copy).fingerprint("int8"))
    assert len(prints) == 4
