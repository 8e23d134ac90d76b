"""UMT5 as Wan uses it, on tiny random weights in the layouts of the real downloads. Importing transformers: seconds."""

import math
import os
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from torch.nn import functional as F

from infrope_env.errors import WeightsError
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.int8 import Int8Linear
from infrope_env.text.lazy import AbsentTextEncoder, LazyTextEncoder, bytes_needed, pick_device
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.umt5 import UMT5TextEncoder, clean_text
from infrope_env.text.umt5_files import UMT5Files, UMT5Sizes, transformers_name
from tests.text.tiny_umt5 import (
    END_ID,
    SIZES,
    original_weights,
    weights_of,
    write_diffusers_folder,
    write_original_folder,
)

PROMPT = "a red fox walks through deep snow"
MAPS = Path("/proc/self/maps")


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusers_folder(tmp_path_factory.mktemp("Wan2.1-T2V-1.3B-Diffusers"))


@pytest.fixture(scope="module")
def original(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original_folder(tmp_path_factory.mktemp("Wan2.1-T2V-1.3B"), twin)


@pytest.fixture(scope="module")
def encoder(twin: Path) -> UMT5TextEncoder:
    return UMT5TextEncoder.from_folder(twin, dtype="float32")


def padded_as_wan_does(twin: Path, texts: list[str]) -> Tensor:
    """The release's way, by transformers alone: pad to 512, mask, zero the rows after the text."""
    from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(twin / "tokenizer" / "tokenizer.json"), pad_token="<pad>")
    model = UMT5EncoderModel.from_pretrained(twin / "text_encoder").eval()
    model.set_input_embeddings(model.shared)
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    with torch.no_grad():
        rows = model(tokens.input_ids, tokens.attention_mask).last_hidden_state
    return rows * tokens.attention_mask[..., None]


# what is computed


def test_embeddings_are_those_of_transformers_padded_masked_and_zeroed(twin: Path, encoder: UMT5TextEncoder) -> None:
    texts = [PROMPT, "the forest", "", "snow " * 600]
    rows = encoder(texts)
    assert rows.shape == (4, 512, 16) == (4, encoder.text_len, encoder.text_dim)
    assert rows.ne(0).any(-1).sum(-1).tolist() == [8, 3, 1, 512]  # words and the end mark
    torch.testing.assert_close(rows, padded_as_wan_does(twin, texts), atol=2e-5, rtol=1e-4)


def test_a_text_reads_the_same_alone_and_in_company(encoder: UMT5TextEncoder) -> None:
    assert encoder([PROMPT])[0].equal(encoder(["snow", PROMPT, "a fox"])[1])


def test_a_text_cut_off_at_512_tokens_still_ends_with_its_mark(encoder: UMT5TextEncoder) -> None:
    ids = encoder.tokenizer.encode("snow " * 600).ids
    assert len(ids) == 512 and ids[-1] == END_ID


def test_texts_are_cleaned_before_they_are_read(encoder: UMT5TextEncoder) -> None:
    assert encoder(["  the\ncafÃ©  at &amp;#97; dawn"]).equal(encoder(["the café at a dawn"]))


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a \n\t fox  ", "a fox"),
        ("salt &amp;amp; pepper", "salt & pepper"),
        ("&lt;b&gt; &amp;lt;", "<b> <"),
        ("the cafÃ© is open", "the café is open"),
        ("<i> &amp;lt;", "<i> <"),  # ftfy leaves entities beside a tag alone
    ],
)
def test_text_is_cleaned_as_wan_expects(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def wan_encoder(weights: dict[str, Tensor], ids: list[int]) -> Tensor:
    """Wan's own encoder in a few lines: unscaled scores, a bias table per layer, gated tanh-GELU."""

    def norm(x: Tensor, name: str) -> Tensor:
        return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt() * weights[f"{name}.weight"]

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (SIZES["num_heads"], SIZES["d_kv"])).transpose(0, 1)

    def bucket(distance: int) -> int:
        far = 8 + int(math.log(max(abs(distance), 1) / 8) / math.log(128 / 8) * 8)
        return (16 if distance > 0 else 0) + (abs(distance) if abs(distance) < 8 else min(far, 15))

    x = weights["token_embedding.weight"][ids]
    places = range(len(ids))
    buckets = torch.tensor([[bucket(key - query) for key in places] for query in places])
    for i in range(SIZES["num_layers"]):
        part = {name.removeprefix(f"blocks.{i}."): value for name, value in weights.items() if f"blocks.{i}." in name}
        normed = norm(x, f"blocks.{i}.norm1")
        q, k, v = (heads(normed @ part[f"attn.{name}.weight"].T) for name in "qkv")
        bias = part["pos_embedding.embedding.weight"][buckets].permute(2, 0, 1)
        seen = ((q @ k.mT + bias).softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = x + seen @ part["attn.o.weight"].T
        normed = norm(x, f"blocks.{i}.norm2")
        gate = F.gelu(normed @ part["ffn.gate.0.weight"].T, approximate="tanh")
        x = x + (gate * (normed @ part["ffn.fc1.weight"].T)) @ part["ffn.fc2.weight"].T
    return norm(x, "norm")


def test_embeddings_are_those_of_wan_s_own_encoder(twin: Path, encoder: UMT5TextEncoder) -> None:
    text = " ".join([PROMPT] * 4)  # long enough for far distances
    ids = encoder.tokenizer.encode(text).ids
    torch.testing.assert_close(
        encoder([text])[0, : len(ids)], wan_encoder(original_weights(twin), ids), atol=2e-5, rtol=1e-4
    )


# files


def test_the_original_file_gives_the_same_embeddings(original: Path, encoder: UMT5TextEncoder) -> None:
    assert UMT5TextEncoder.from_folder(original, dtype="float32")([PROMPT]).equal(encoder([PROMPT]))


def test_one_folder_as_transformers_saves_it_gives_the_same_embeddings(
    twin: Path, encoder: UMT5TextEncoder, tmp_path: Path
) -> None:
    for file in [*(twin / "text_encoder").iterdir(), twin / "tokenizer" / "tokenizer.json"]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert UMT5TextEncoder.from_folder(tmp_path, dtype="float32")([PROMPT]).equal(encoder([PROMPT]))


def test_every_name_of_the_original_layout_is_one_of_transformers(twin: Path) -> None:
    names = {transformers_name(name) for name in original_weights(twin)}
    assert names == weights_of(twin).keys() and len(names) == 10 * SIZES["num_layers"] + 2
    assert transformers_name("blocks.3.cross_attn.q.weight") == "blocks.3.cross_attn.q.weight"


def test_sizes_are_read_off_the_tensors(twin: Path) -> None:
    files = UMT5Files.find(twin)
    sizes = UMT5Sizes.of(files.tensors(), files.folder)
    assert sizes == UMT5Sizes(vocab_size=64, relative_attention_num_buckets=32, **SIZES)


def test_the_token_embedding_is_one(encoder: UMT5TextEncoder) -> None:
    assert encoder.model.shared is encoder.model.encoder.embed_tokens
    assert not encoder.model.training and not any(p.requires_grad for p in encoder.model.parameters())


def copy_of(folder: Path, to: Path) -> Path:
    for file in folder.rglob("*"):
        if file.is_file():
            (to / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(folder)).write_bytes(file.read_bytes())
    return to


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
        ("a tensor too many", "does not fit UMT5: of 33 tensors, 1 unexpected ('head.weight')"),
        ("another shape", "1 of the wrong shape ('encoder.final_layer_norm.weight' is (2,), expected (16,))"),
        ("another model", "not the weights of a UMT5 encoder, they have no tensor 'shared.weight'"),
        ("no tokenizer", "tokenizer.json is missing: the text encoder needs its tokenizer"),
        ("half a tokenizer", "tokenizer.json: not a tokenizer"),
        ("no end mark", "expected UMT5's tokenizer, which ends every text with </s>"),
    ],
)
def test_a_damaged_download_is_one_sentence(original: Path, tmp_path: Path, damage: str, sentence: str) -> None:
    damage_file(copy_of(original, tmp_path), damage)
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
    copy_of(original, tmp_path)
    torch.save({"norm.weight": Trap(tmp_path / "sprung")}, tmp_path / "models_t5_umt5-xxl-enc-bf16.pth")
    with pytest.raises(WeightsError, match=r"holds more than tensors \((posix|nt)\.mkdir\)"):
        UMT5TextEncoder.from_folder(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_missing_package_is_named_with_what_to_install(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(ImportError, match=r"pip install infrope-env\[wan\]"):
        clean_text("a fox")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install infrope-env\[wan\]"):
        UMT5TextEncoder.from_folder(twin)


# precision


def test_bfloat16_embeddings_are_near_those_of_float32(twin: Path, encoder: UMT5TextEncoder) -> None:
    rows = UMT5TextEncoder.from_folder(twin)([PROMPT])
    assert rows.dtype is torch.bfloat16
    assert 0 < relative_error(rows, encoder([PROMPT])) < 0.03


def test_eight_bits_are_near_bfloat16_and_take_half_the_memory(twin: Path, encoder: UMT5TextEncoder) -> None:
    small, plain = UMT5TextEncoder.from_folder(twin, dtype="int8"), UMT5TextEncoder.from_folder(twin)
    assert small([PROMPT]).dtype is torch.bfloat16
    assert 0 < relative_error(small([PROMPT]), encoder([PROMPT])) < 0.05
    tensors = UMT5Files.find(twin).tensors()
    assert memory(plain) == bytes_needed(tensors, "bfloat16")
    linears = [module.weight for module in small.model.modules() if isinstance(module, Int8Linear)]
    scales = sum(4 * len(weight) for weight in linears)
    assert memory(plain) - memory(small) == sum(weight.numel() for weight in linears) - scales > 0
    assert {type(module) for name, module in small.model.named_modules() if name.endswith((".q", ".wo"))} == {
        Int8Linear
    }


def relative_error(rows: Tensor, exact: Tensor) -> float:
    return float((rows.float() - exact).norm() / exact.norm())


def memory(encoder: UMT5TextEncoder) -> int:
    tensors = [*encoder.model.parameters(), *encoder.model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_an_eight_bit_layer_is_off_by_half_a_step_at_most() -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 5)[:, None]
    layer = Int8Linear(weight)
    steps = weight.abs().amax(1, keepdim=True) / 127
    assert ((layer(torch.eye(7)).T - weight).abs() <= 0.5001 * steps).all()
    assert Int8Linear(torch.zeros(2, 3))(torch.ones(1, 3)).eq(0).all()


def test_a_dtype_in_which_umt5_overflows_is_refused(twin: Path) -> None:
    for make in (UMT5TextEncoder.from_folder, LazyTextEncoder):
        with pytest.raises(ValueError, match="one of bfloat16, float32, int8, got 'float16'"):
            make(twin, dtype="float16")


# loaded when needed


def test_a_lazy_encoder_knows_itself_before_it_is_loaded(twin: Path, encoder: UMT5TextEncoder) -> None:
    lazy = LazyTextEncoder(twin, dtype="float32")
    assert (lazy.text_len, lazy.text_dim, lazy.fingerprint) == (512, 16, encoder.fingerprint)
    assert not lazy.loaded
    assert lazy([PROMPT]).equal(encoder([PROMPT])) and lazy.loaded
    lazy.release()
    assert not lazy.loaded
    assert lazy([PROMPT]).equal(encoder([PROMPT]))


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux says what is mapped")
@pytest.mark.parametrize("layout", ["twin", "original"])
def test_weights_on_the_cpu_are_mapped_from_disk_and_released_ones_are_gone(
    layout: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lazy = LazyTextEncoder(copy_of(request.getfixturevalue(layout), tmp_path), dtype="float32")
    assert str(tmp_path) not in MAPS.read_text()
    lazy([PROMPT])
    assert str(tmp_path) in MAPS.read_text()
    lazy.release()
    assert str(tmp_path) not in MAPS.read_text()


def test_the_fingerprint_is_of_weights_tokenizer_and_dtype(original: Path, tmp_path: Path) -> None:
    prints = {UMT5Files.find(original).fingerprint(dtype) for dtype in ("bfloat16", "int8")}
    copy = copy_of(original, tmp_path)
    assert UMT5Files.find(copy).fingerprint("int8") in prints
    weights, tokenizer = copy / "models_t5_umt5-xxl-enc-bf16.pth", copy / "google" / "umt5-xxl" / "tokenizer.json"
    for file in (weights, tokenizer):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        prints.add(UMT5Files.find(copy).fingerprint("int8"))
    assert len(prints) == 4


def test_the_gpu_is_taken_when_the_weights_and_more_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (12_000, 24_000))
    assert (pick_device(9_900), pick_device(10_100)) == ("cuda", "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device(0) == "cpu"


# with the bank


def test_the_bank_lets_the_encoder_go_and_serves_without_it(twin: Path, tmp_path: Path) -> None:
    lazy, told = LazyTextEncoder(twin), []
    bank = PromptCache(lazy, tmp_path / "prompts")
    bank.encode_all([PROMPT, "the forest", PROMPT], report=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)] and not lazy.loaded
    later = PromptCache(LazyTextEncoder(twin, device="refuse"), tmp_path / "prompts")
    absent = PromptCache(AbsentTextEncoder.of(tmp_path / "prompts"), tmp_path / "prompts")
    assert later[PROMPT].equal(bank[PROMPT]) and absent[PROMPT].equal(bank[PROMPT])
    assert absent[PROMPT].shape == (1, 512, 16) and absent[PROMPT].dtype is torch.bfloat16


def test_a_new_prompt_without_an_encoder_is_refused_with_a_sentence(twin: Path, tmp_path: Path) -> None:
    bank = PromptCache(LazyTextEncoder(twin, device="refuse"), tmp_path)
    with pytest.raises(
        TextEncoderAbsent, match=r"'a fox' was never encoded before, and the text encoder is switched off"
    ):
        bank["a fox"]
    PromptCache(LazyTextEncoder(twin), tmp_path)["snow"]
    with pytest.raises(ValueError, match=r"has embeddings but no text encoder\. .* download|of Wan-AI/Wan2\.1-T2V"):
        PromptCache(AbsentTextEncoder.of(tmp_path), tmp_path)["a fox"]


def test_two_stand_ins_for_one_encoder_are_equal(twin: Path, tmp_path: Path) -> None:
    PromptCache(LazyTextEncoder(twin), tmp_path)["snow"]
    assert len({AbsentTextEncoder.of(tmp_path), AbsentTextEncoder.of(tmp_path)}) == 1  # loaded parts are found by it


def test_an_empty_folder_has_no_encoder_to_stand_in_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no embeddings: prompts must be encoded once"):
        AbsentTextEncoder.of(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="no embeddings of the encoder abc"):
        AbsentTextEncoder.of(tmp_path, fingerprint="abc")


def test_a_typed_prompt_brings_the_encoder_back_and_it_may_be_kept(twin: Path, tmp_path: Path) -> None:
    for keep in (False, True):
        lazy = LazyTextEncoder(twin)
        PromptCache(lazy, tmp_path, keep_encoder=keep)[f"a fox {keep}"]
        assert lazy.loaded is keep
