"""UMT5 as Wan uses it, on tiny random weights."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from infrope_env.text.int8 import Int8Linear
from infrope_env.text.lazy import LazyTextEncoder, bytes_needed
from infrope_env.text.umt5 import UMT5TextEncoder, clean_text
from infrope_env.text.umt5_files import UMT5Files
from tests.text.tiny_umt5 import END_ID, PROMPT, SIZES, original_weights


def padded_as_wan_does(twin: Path, texts: list[str]) -> Tensor:
    """Encode texts as the release does, by transformers alone: pad to 512, mask, zero the rows after the text."""
    from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(twin / "tokenizer" / "tokenizer.json"), pad_token="<pad>")
    model = UMT5EncoderModel.from_pretrained(twin / "text_encoder").eval()
    model.set_input_embeddings(model.shared)
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    with torch.no_grad():
        rows = model(tokens.input_ids, tokens.attention_mask).last_hidden_state
    return rows * tokens.attention_mask[..., None]


def test_embeddings_are_those_of_transformers_padded_masked_and_zeroed(twin: Path, encoder: UMT5TextEncoder) -> None:
    texts = [PROMPT, "the forest", "", "snow " * 600]
    rows = encoder(texts)
    assert rows.shape == (4, 512, 16) == (4, encoder.text_len, encoder.text_dim)
    assert rows.ne(0).any(-1).sum(-1).tolist() == [8, 3, 1, 512]  # words and the end mark
    torch.testing.assert_close(rows, padded_as_wan_does(twin, texts), atol=2e-5, rtol=1e-4)


def test_a_text_has_the_same_embedding_alone_and_in_a_batch(encoder: UMT5TextEncoder) -> None:
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
    """Encode as Wan's own encoder does, in a few lines: unscaled scores, a bias table per layer, gated tanh-GELU."""

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


# packages and precision


def test_a_missing_package_is_named_with_what_to_install(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(ImportError, match=r"pip install infrope-env\[wan\]"):
        clean_text("a fox")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install infrope-env\[wan\]"):
        UMT5TextEncoder.from_folder(twin)


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
