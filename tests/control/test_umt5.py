"""UMT5 as Wan uses it, on tiny random weights in the layouts of the real downloads. Importing transformers: seconds."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional as F

from infrope_env.control.int8 import Int8Linear
from infrope_env.control.lazy_encoder import AbsentTextEncoder, LazyTextEncoder, bytes_needed, pick_device
from infrope_env.control.prompts import PromptBank
from infrope_env.control.text_encoder import TextEncoderAbsent
from infrope_env.control.umt5 import UMT5TextEncoder, clean_text
from infrope_env.control.umt5_files import TextEncoderError, UMT5Files, UMT5Sizes, transformers_name

WORDS = ["a", "red", "fox", "walks", "through", "deep", "snow", "in", "the", "forest", "at", "dawn", "café"]
SIZES = {"d_model": 16, "d_kv": 6, "d_ff": 40, "num_layers": 3, "num_heads": 2}
PROMPT = "a red fox walks through deep snow"
END_ID = 1
MAPS = Path("/proc/self/maps")


def write_tokenizer(path: Path) -> None:
    """A tokenizer.json built like UMT5's: unigram pieces that begin with a bar, an end mark after every text."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS), *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.Unigram([(piece, -0.1 * i) for i, piece in enumerate(pieces)], unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END_ID)])
    tokenizer.enable_padding(length=7)  # whatever a file says, the encoder pads by itself
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Wan-AI/Wan2.1-T2V-1.3B-Diffusers: two shards, which know the token embedding by one name."""
    from transformers import UMT5Config, UMT5EncoderModel

    folder = tmp_path_factory.mktemp("Wan2.1-T2V-1.3B-Diffusers")
    write_tokenizer(folder / "tokenizer" / "tokenizer.json")
    torch.manual_seed(0)
    model = UMT5EncoderModel(UMT5Config(vocab_size=64, feed_forward_proj="gated-gelu", **SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.2)
        model.shared.weight.normal_()
    tensors = {name: value.clone() for name, value in model.state_dict().items() if "embed_tokens" not in name}
    names, places = sorted(tensors), {}
    (folder / "text_encoder").mkdir()
    for i, part in enumerate((names[:10], names[10:]), start=1):
        shard = folder / "text_encoder" / f"model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, shard)
        places |= dict.fromkeys(part, shard.name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    config = model.config.to_dict() | {"tie_word_embeddings": False, "architectures": ["UMT5EncoderModel"]}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(config))
    return folder


def weights_of(twin: Path) -> dict[str, Tensor]:
    shards = sorted((twin / "text_encoder").glob("*.safetensors"))
    return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}


def original_weights(twin: Path) -> dict[str, Tensor]:
    """The same weights under the names of Wan's own encoder, written out by hand."""
    ours, theirs = weights_of(twin), {}
    theirs["token_embedding.weight"] = ours["shared.weight"]
    theirs["norm.weight"] = ours["encoder.final_layer_norm.weight"]
    for i in range(SIZES["num_layers"]):
        block, attention = f"encoder.block.{i}", f"encoder.block.{i}.layer.0.SelfAttention"
        for part in "qkvo":
            theirs[f"blocks.{i}.attn.{part}.weight"] = ours[f"{attention}.{part}.weight"]
        theirs[f"blocks.{i}.pos_embedding.embedding.weight"] = ours[f"{attention}.relative_attention_bias.weight"]
        theirs[f"blocks.{i}.norm1.weight"] = ours[f"{block}.layer.0.layer_norm.weight"]
        theirs[f"blocks.{i}.norm2.weight"] = ours[f"{block}.layer.1.layer_norm.weight"]
        for name, part in (("gate.0", "wi_0"), ("fc1", "wi_1"), ("fc2", "wo")):
            theirs[f"blocks.{i}.ffn.{name}.weight"] = ours[f"{block}.layer.1.DenseReluDense.{part}.weight"]
    return theirs


@pytest.fixture(scope="module")
def original(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Wan-AI/Wan2.1-T2V-1.3B, with the generator's files beside the encoder's."""
    folder = tmp_path_factory.mktemp("Wan2.1-T2V-1.3B")
    write_tokenizer(folder / "google" / "umt5-xxl" / "tokenizer.json")
    torch.save(original_weights(twin), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    (folder / "config.json").write_text('{"model_type": "t2v"}')
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"another model's")
    return folder


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


def spoil(folder: Path, damage: str) -> None:
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
        ("truncated", "enc-bf16.pth: truncated, or no file of weights"),
        ("a list", "no file of weights (it holds list, not tensors by name)"),
        ("a tensor too few", "the tensor 'encoder.block.1.layer.0.SelfAttention.o.weight' is missing"),
        ("a tensor too many", "the tensor 'head.weight' is not part of UMT5"),
        ("another shape", "expected 'encoder.final_layer_norm.weight' to have shape (16,), got (2,)"),
        ("another model", "not the weights of a UMT5 encoder, they have no tensor 'shared.weight'"),
        ("no tokenizer", "tokenizer.json is missing: the text encoder needs its tokenizer"),
        ("half a tokenizer", "tokenizer.json: not a tokenizer"),
        ("no end mark", "expected UMT5's tokenizer, which ends every text with </s>"),
    ],
)
def test_a_damaged_download_is_one_sentence(original: Path, tmp_path: Path, damage: str, sentence: str) -> None:
    spoil(copy_of(original, tmp_path), damage)
    with pytest.raises(TextEncoderError) as caught:
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
    with pytest.raises(TextEncoderError, match="no file of weights"):
        UMT5TextEncoder.from_folder(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_what_to_install_is_said_when_something_is_missing(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    bank = PromptBank(lazy, tmp_path / "prompts")
    bank.encode_all([PROMPT, "the forest", PROMPT], report=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)] and not lazy.loaded
    later = PromptBank(LazyTextEncoder(twin, device="refuse"), tmp_path / "prompts")
    absent = PromptBank(AbsentTextEncoder.of(tmp_path / "prompts"), tmp_path / "prompts")
    assert later[PROMPT].equal(bank[PROMPT]) and absent[PROMPT].equal(bank[PROMPT])
    assert absent[PROMPT].shape == (1, 512, 16) and absent[PROMPT].dtype is torch.bfloat16


def test_a_new_prompt_without_an_encoder_is_refused_with_a_sentence(twin: Path, tmp_path: Path) -> None:
    bank = PromptBank(LazyTextEncoder(twin, device="refuse"), tmp_path)
    with pytest.raises(
        TextEncoderAbsent, match=r"'a fox' was never encoded before, and the text encoder is switched off"
    ):
        bank["a fox"]
    PromptBank(LazyTextEncoder(twin), tmp_path)["snow"]
    with pytest.raises(ValueError, match=r"has embeddings but no text encoder\. .* download|of Wan-AI/Wan2\.1-T2V"):
        PromptBank(AbsentTextEncoder.of(tmp_path), tmp_path)["a fox"]


def test_an_empty_bank_has_nobody_to_stand_in_for(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match="has no embeddings: prompts must be encoded once"):
        AbsentTextEncoder.of(tmp_path / "nowhere")
    with pytest.raises(TextEncoderError, match="no embeddings of the encoder abc"):
        AbsentTextEncoder.of(tmp_path, fingerprint="abc")


def test_a_typed_prompt_brings_the_encoder_back_and_it_may_be_kept(twin: Path, tmp_path: Path) -> None:
    for keep in (False, True):
        lazy = LazyTextEncoder(twin)
        PromptBank(lazy, tmp_path, keep_encoder=keep)[f"a fox {keep}"]
        assert lazy.loaded is keep
