import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infrope_env.config import Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.models import options
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import (
    CARD,
    DECODER,
    GENERATOR,
    TEXT_ENCODER,
    TOKENIZER,
    describe_world,
    load_world,
    save_world,
)
from infrope_env.pixels.taehv import TAEHV
from infrope_env.regular_file import read_regular
from tests.tiny_world import TINY_MODEL, tiny_world

CPU, FLOAT32 = LoadOptions(device="cpu"), LoadOptions(device="cpu", dtype="float32")
BFLOAT16 = LoadOptions(device="cpu", dtype="bfloat16")
FILES = (GENERATOR, TEXT_ENCODER, DECODER, TOKENIZER)


@pytest.fixture
def world_copy(tiny_weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_weights, tmp_path / "world"))


def edit_card(folder: Path, **entries: object) -> None:
    card = json.loads((folder / CARD).read_text()) | entries
    (folder / CARD).write_text(json.dumps(card))


def save_unchecked(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Replace a file and its digest in the card."""
    save_file(tensors, folder / name)
    files = json.loads((folder / CARD).read_text())["files"]
    edit_card(folder, files=files | {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()})


def test_a_world_comes_back_as_it_was_saved(tmp_path):
    world = load_world(tiny_world(tmp_path / "one"), FLOAT32)
    training = {"hours": 3, "commands": ["teach", "roll"], "runs": {"teacher": {"iteration": 9, "loss": 0.5}}}
    fields = {"name": "again", "window": Window.paper(), "sampler": Sampler((1000, 500), 3.0), "training": training}
    save_world(tmp_path / "two", world.transformer, world.text_encoder, world.decoder, fields)
    again = load_world(tmp_path / "two", FLOAT32)
    assert (again.name, again.window, again.sampler) == ("again", Window.paper(), Sampler((1000, 500), 3.0))
    assert again.config == TINY_MODEL and again.frame_size == (32, 48)
    for part in ("transformer", "text_encoder", "decoder"):
        before, after = getattr(world, part).state_dict(), getattr(again, part).state_dict()
        assert before.keys() == after.keys() and all(before[name].equal(after[name]) for name in before)
    assert again.text_encoder(["an orange fox"]).equal(world.text_encoder(["an orange fox"]))
    told = ("hours: 3", "commands:", "  teach", "  roll", "runs:", "  teacher: iteration 9, loss 0.5")
    assert list(describe_world(tmp_path / "two"))[-len(told) :] == [f"  {line}" for line in told]


def test_names_are_the_release_s_and_the_encoder_is_not_stored(tiny_weights):
    assert all(name.startswith("model.") for name in load_file(tiny_weights / GENERATOR))
    assert all(name.startswith("decoder.") for name in load_file(tiny_weights / DECODER))
    decoder = load_world(tiny_weights, CPU).decoder
    assert isinstance(decoder, TAEHV) and list(decoder.encoder.parameters()) == []


def test_a_process_loads_a_world_once(tiny_weights):
    first = load_world(tiny_weights, FLOAT32)
    assert load_world(Path(str(tiny_weights)), FLOAT32) is first
    assert load_world(tiny_weights, BFLOAT16) is not first
    compiled = LoadOptions(device="cpu", dtype="float32", compile=True)
    assert load_world(tiny_weights, compiled) is load_world(tiny_weights, compiled) is not first
    assert load_world(tiny_weights, FLOAT32) is first


def test_a_folder_written_again_is_loaded_again(tmp_path):
    first = load_world(tiny_world(tmp_path, seed=0), CPU)
    second = load_world(tiny_world(tmp_path, seed=1), CPU)
    assert (first.name, second.name) == ("tiny-0", "tiny-1")


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path):
    folder = tiny_world(tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_world(folder, CPU)
    assert torch.rand(2).equal(expected)


def test_networks_are_in_evaluation_mode_without_gradients(tiny_weights):
    world = load_world(tiny_weights, BFLOAT16)
    for part in (world.transformer, world.text_encoder, world.decoder):
        assert not part.training and not any(parameter.requires_grad for parameter in part.parameters())
    assert {p.dtype for p in world.transformer.parameters()} == {p.dtype for p in world.decoder.parameters()}
    assert {p.dtype for p in world.text_encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("vendor", "tiles", "vectors", "fast"),
    [
        ("GenuineIntel", True, True, torch.bfloat16),
        ("GenuineIntel", False, True, torch.float32),  # its vectors multiply bfloat16 at half the rate of float32
        ("AuthenticAMD", False, True, torch.bfloat16),
        ("AuthenticAMD", False, False, torch.float32),
        (None, False, True, torch.bfloat16),
    ],
)
def test_the_default_dtype_is_fast_on_the_processor(tiny_weights, monkeypatch, vendor, tiles, vectors, fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(options, "processor_vendor", lambda: vendor)
    assert load_world(tiny_weights, CPU).dtype == fast


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(world_copy, name):
    (world_copy / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: cannot be read: No such file"):
        load_world(world_copy, CPU)


@pytest.mark.parametrize("name", [GENERATOR, TEXT_ENCODER, DECODER])
def test_a_truncated_file_is_named(world_copy, name):
    data = (world_copy / name).read_bytes()
    (world_copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match=rf"{name}: truncated"):
        load_world(world_copy, CPU)


@pytest.mark.parametrize("name", FILES)
def test_one_altered_byte_is_noticed(world_copy, name):
    data = bytearray((world_copy / name).read_bytes())
    data[-1] ^= 1
    (world_copy / name).write_bytes(data)
    for check in (lambda: load_world(world_copy, CPU), lambda: list(describe_world(world_copy))):
        with pytest.raises(WeightsError, match=rf"{name}: altered"):
            check()


def test_a_missing_tensor_is_named(world_copy):
    tensors = load_file(world_copy / GENERATOR)
    del tensors["model.head.head.bias"]
    save_unchecked(world_copy, GENERATOR, tensors)
    with pytest.raises(WeightsError, match=r"sizes in card\.json: of \d+ tensors, 1 missing \('head\.head\.bias'\)"):
        load_world(world_copy, CPU)


def test_a_surplus_tensor_is_named(world_copy):
    save_unchecked(world_copy, DECODER, load_file(world_copy / DECODER) | {"decoder.extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"1 unexpected \('decoder\.extra'\)"):
        load_world(world_copy, CPU)


def test_a_shape_that_does_not_fit_the_card_is_named(world_copy):
    model = json.loads((world_copy / CARD).read_text())["model"]
    edit_card(world_copy, model=model | {"ffn_dim": 64})
    with pytest.raises(WeightsError, match=r"'blocks\.0\.ffn\.0\.weight' is \(96, 48\), expected \(64, 48\)"):
        load_world(world_copy, CPU)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"model": {"dim": 48}}, "card.json: model: .*missing"),
        ({"model": 3}, "card.json: model: expected an object, got 3"),
        ({"window": {"sinks": 1}}, "card.json: window: unknown entry 'sinks'"),
        ({"window": {"sink": -1}}, "card.json: window: .*sink"),
        ({"surprise": 1}, "card.json: unknown entry 'surprise'"),
        ({"files": {}}, "files has no sha256 for"),
        ({"files": {"../../secret": "0"}}, r"files: expected names of files in the folder, got '\.\./\.\./secret'"),
        ({"files": {"generator.safetensors": 3}}, "expected files to be an object of strings"),
        ({"name": ["x"]}, "expected name to be a string"),
        ({"sampler": {"steps": list(range(1000, 0, -1))}}, "expected steps to be a list of at most 100 entries"),
        ({"sampler": {"steps": [1000, "500"]}}, "expected steps to be a list, each entry a whole number from 0"),
        ({"sampler": {"steps": [1000, 10**4000]}}, "expected steps to be a list, each entry a whole number from 0"),
        ({"sampler": {"shift": float("nan")}}, "expected shift to be a number, got nan"),
        ({"sampler": {"shift": 10**4000}}, "expected shift to be a number, got a value of type int|, got 1000"),
        ({"window": {"block": 2.5}}, "window: expected block to be a whole number from 0 to 65536, got 2.5"),
        ({"window": {"coordinates": ["rank"]}}, "window: expected coordinates to be a string"),
        ({"training": {"a": json.loads("[" * 30 + "]" * 30)}}, "card.json: not valid: more than 20 levels deep"),
    ],
)
def test_a_mistake_in_a_card_is_located(world_copy, entries, sentence):
    edit_card(world_copy, **entries)
    with pytest.raises(WeightsError, match=sentence):
        load_world(world_copy, CPU)


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, '{"model": ' * 100_000, f'{{"name": {"9" * 5000}}}', "\ud800", "null", "\0"]
)
def test_a_card_that_is_not_json_is_refused(world_copy, text):
    (world_copy / CARD).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(WeightsError, match=r"card\.json: (not valid|expected an object)"):
        load_world(world_copy, CPU)


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("model", {"num_layers": 10**9}, "expected num_layers to be a whole number from 0 to 256, got 1000000000"),
        ("model", {"dim": "48"}, "expected dim to be a whole number from 0 to 65536, got '48'"),
        ("model", {"learned_grid": 1}, "expected learned_grid to be true or false, got 1"),
        ("model", {"latent_size": [4]}, r"expected latent_size to be a list of 2 entries, got \[4\]"),
        ("model", {"latent_size": [65536, 65536]}, "expected a block of 1 to 1000000000 values, got 12 frames of"),
        ("model", {"text_dim": 8}, "expected text_dim to be the model's 8 everywhere, got 16"),
        ("decoder", {"patch": 0}, "expected a block of 1 to 1000000000 values, got 12 frames of 0 x 0"),
        ("decoder", {"decoder_widths": [0, 8, 8, 8]}, "card.json: no network of these sizes|does not fit the sizes"),
    ],
)
def test_sizes_beyond_reason_are_refused_before_they_are_used(world_copy, part, changes, sentence):
    edit_card(world_copy, **{part: json.loads((world_copy / CARD).read_text())[part] | changes})
    with pytest.raises(WeightsError, match=sentence):
        load_world(world_copy, CPU)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", [*FILES, CARD])
def test_only_regular_files_are_read(world_copy, name):
    for make, kind in {
        lambda path: path.symlink_to("/dev/zero"): "a device",
        os.mkfifo: "a pipe",
        Path.mkdir: "a folder",
    }.items():
        (world_copy / name).unlink()
        make(world_copy / name)
        for check in (lambda: load_world(world_copy, CPU), lambda: list(describe_world(world_copy))):
            with pytest.raises(WeightsError, match=rf"{name}: cannot be read: expected a regular file, it is {kind}"):
                check()
        (world_copy / name).rmdir() if kind == "a folder" else (world_copy / name).unlink()
        (world_copy / name).touch()


@pytest.mark.parametrize("name", [GENERATOR, TOKENIZER, CARD])
def test_a_file_larger_than_expected_is_not_read_to_its_end(world_copy, name):
    os.truncate(world_copy / name, 10**11)  # sparse: it takes no space on the disk
    with pytest.raises(WeightsError, match=rf"{name}: cannot be read: expected at most [\d.]+ MB, it is larger"):
        load_world(world_copy, CPU)


def tokenizer_with(world_copy: Path, **changes: object) -> None:
    """Change the tokenizer, and its digest in the card."""
    data = json.dumps(json.loads((world_copy / TOKENIZER).read_text()) | changes).encode()
    (world_copy / TOKENIZER).write_bytes(data)
    files = json.loads((world_copy / CARD).read_text())["files"]
    edit_card(world_copy, files=files | {TOKENIZER: hashlib.sha256(data).hexdigest()})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"type": "nothing"}}, "not a tokenizer"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "expected a tokenizer with one id per word"),
        ({"normalizer": None}, "expected a tokenizer with one id per word"),
        (
            {"model": {"type": "WordLevel", "vocab": {"[UNK]": 1, "a": 700}, "unk_token": "[UNK]"}},
            "expected the ids of the 2 words to be 0 to 1",
        ),
    ],
)
def test_a_damaged_tokenizer_is_refused(world_copy, changes, sentence):
    tokenizer_with(world_copy, **changes)
    with pytest.raises(WeightsError, match=rf"tokenizer\.json: {sentence}"):
        load_world(world_copy, CPU)


def test_weights_of_whole_numbers_are_refused(world_copy):
    tensors = {name: tensor.to(torch.int64) for name, tensor in load_file(world_copy / GENERATOR).items()}
    save_unchecked(world_copy, GENERATOR, tensors)
    with pytest.raises(WeightsError, match=r"is of torch\.int64, expected torch\.float32"):
        load_world(world_copy, CPU)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"device": "gpu"}, "expected device to be 'cpu', 'cuda' or 'cuda:1', got 'gpu'"),
        ({"device": "cuda:77"}, "There is no device 'cuda:77' here"),
        ({"dtype": "float8"}, "expected dtype to be one of float32, bfloat16, float16, got 'float8'"),
        ({"precision": "int4"}, "expected precision to be float or int8 or fp8, got 'int4'"),
        ({"decoder": "taew2_1"}, "No decoder named 'taew2_1'"),
    ],
)
def test_options_that_cannot_work_are_refused(tiny_weights, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_world(tiny_weights, LoadOptions(**arguments))


def test_a_world_half_written_over_another_is_noticed(world_copy, tmp_path):
    other = tiny_world(tmp_path / "other", seed=5)
    shutil.copy(other / GENERATOR, world_copy / GENERATOR)  # the card comes last
    with pytest.raises(WeightsError, match="altered"):
        load_world(world_copy, CPU)


def test_every_file_is_read_once_so_the_hashed_bytes_are_the_loaded_ones(world_copy, monkeypatch):
    reads = []

    def read(path: Path, most_bytes: int) -> bytes:
        reads.append(path.name)
        return read_regular(path, most_bytes)

    monkeypatch.setattr("infrope_env.models.world_folder.read_regular", read)
    load_world(world_copy, FLOAT32)
    assert sorted(reads) == sorted([*FILES, CARD])


def test_loading_imports_no_compiler():
    """It would take seconds, which a player waits for before the first block."""
    load = "from infrope_env.models.resolve import load_model; load_model('pocket')"
    code = f"import sys; {load}; print('sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
