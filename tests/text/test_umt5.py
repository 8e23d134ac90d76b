"""UMT5 as Wan uses it, on tiny random weights."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from infrope_env.text.int8 import round_to_8_bits
from infrope_env.text.layer_stream import LayerStream
from infrope_env.text.lazy import LazyTextEncoder
from infrope_env.text.umt5 import UMT5TextEncoder, clean_text, sentence_on_cut
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


def test_the_dtype_is_that_of_the_weights_and_the_arithmetic_is_float32(twin: Path, encoder: UMT5TextEncoder) -> None:
    rows = UMT5TextEncoder.from_folder(twin)([PROMPT])
    assert rows.dtype is torch.bfloat16 and encoder([PROMPT]).dtype is torch.float32
    assert 0 < relative_error(rows, encoder([PROMPT])) < 0.01
    rounded = {name: weight.bfloat16().float() for name, weight in original_weights(twin).items()}
    ids = encoder.tokenizer.encode(PROMPT).ids
    exact = wan_encoder(rounded, ids)
    assert (rows[0, : len(ids)].float() - exact).abs().max() <= 2**-8 * exact.abs().max()  # rounded once, at the end
    emulated = UMT5TextEncoder.from_folder(twin, arithmetic=torch.bfloat16)([PROMPT])
    error, emulated_error = (relative_error(each[0, : len(ids)], exact) for each in (rows, emulated))
    assert error < 0.6 * emulated_error


def test_eight_bits_round_the_linear_layers_only(twin: Path, encoder: UMT5TextEncoder) -> None:
    small = UMT5TextEncoder.from_folder(twin, dtype="int8")
    assert small([PROMPT]).dtype is torch.bfloat16
    assert 0 < relative_error(small([PROMPT]), encoder([PROMPT])) < 0.05
    first, exact = next(iter(small.stream)), encoder.stream.layers[0]
    changed = {name for name, weight in first.items() if not weight.equal(exact[name].bfloat16().float())}
    assert len(changed) == 7 and not any("norm" in name or "bias" in name for name in changed)


def test_weights_stay_in_their_files_and_two_layers_in_memory(original: Path) -> None:
    encoder = UMT5TextEncoder.from_folder(original)
    linears = 4 * SIZES["d_model"] * SIZES["num_heads"] * SIZES["d_kv"] + 3 * SIZES["d_model"] * SIZES["d_ff"]
    others = 2 * SIZES["d_model"] + 32 * SIZES["num_heads"]
    assert encoder.stream.host_bytes == 2 * 4 * (linears + others)


def test_texts_travel_through_the_layers_together(
    twin: Path, encoder: UMT5TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = LayerStream._read

    def spy(self: LayerStream, index: int, *rest: object) -> object:
        reads.append(index)
        return read(self, index, *rest)

    monkeypatch.setattr(LayerStream, "_read", spy)
    together = encoder([PROMPT, "snow", "a fox"])
    assert reads == [0, 1, 2]
    assert all(together[i].equal(encoder([text])[0]) for i, text in enumerate([PROMPT, "snow", "a fox"]))


def test_a_checkpoint_comes_before_every_product_and_may_end_the_work(encoder: UMT5TextEncoder) -> None:
    fractions: list[float] = []
    encoder([PROMPT, "snow"], fractions.append)
    assert len(fractions) == 3 * 2 * 7 and sorted(set(fractions)) == pytest.approx([i / 6 for i in range(6)])

    def stop(fraction: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        encoder([PROMPT], stop)
    assert encoder(["snow"]).isfinite().all()


def test_a_long_text_says_how_long_it_is_and_where_it_is_cut(encoder: UMT5TextEncoder) -> None:
    whole, long = "the snow " * 255 + "fox", "  the\nsnow " * 255 + "fox at dawn"
    assert sentence_on_cut(encoder.tokenizer, whole) is None
    sentence = sentence_on_cut(encoder.tokenizer, long)
    assert "it has 513 tokens, the text encoder reads the first 511" in sentence
    assert sentence.endswith("the snow fox', without 'at dawn...'.")
    assert encoder([long]).equal(encoder([whole]))  # what is said is what happens


def relative_error(rows: Tensor, exact: Tensor) -> float:
    return float((rows.float() - exact).norm() / exact.norm())


def test_a_weight_in_eight_bits_is_off_by_half_a_step_at_most() -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 5)[:, None]
    steps = weight.abs().amax(1, keepdim=True) / 127
    rounded = round_to_8_bits(weight)
    assert ((rounded - weight).abs() <= 0.5001 * steps).all() and not rounded.equal(weight)
    assert all(len(row.unique()) <= 255 for row in rounded)
    assert round_to_8_bits(torch.zeros(2, 3)).eq(0).all()


def test_a_dtype_in_which_umt5_overflows_is_refused(twin: Path) -> None:
    for make in (UMT5TextEncoder.from_folder, LazyTextEncoder):
        with pytest.raises(ValueError, match="one of bfloat16, float32, int8, got 'float16'"):
            make(twin, dtype="float16")
