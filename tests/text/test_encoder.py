"""The pocket text encoder: its embeddings, its vocabulary, its fingerprint, and its errors."""

import subprocess
import sys

import pytest
import torch
from tokenizers import Tokenizer

from infrope_env.text.encoder import (
    PocketTextConfig,
    PocketTextEncoder,
    UnknownWords,
    build_tokenizer,
)

CAPTIONS = ["a red robot stands still in a green meadow", "a green frog walks to the left in a snowy field"]
SMALL = PocketTextConfig(dim=16, num_layers=2, num_heads=2, text_len=8, text_dim=12)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def encoder() -> PocketTextEncoder:
    torch.manual_seed(0)
    return PocketTextEncoder.from_words(CAPTIONS, SMALL).eval()


def test_rows_after_the_last_word_are_exactly_zero(encoder):
    rows = encoder(["a red robot", "frog"])
    assert rows.shape == (2, 8, 12)
    assert rows.abs().sum(-1).ne(0).sum(-1).tolist() == [3, 1]
    assert rows[0, 3:].eq(0).all() and rows[1, 1:].eq(0).all()


def test_an_empty_text_is_all_zeros_and_not_nan(encoder):
    assert encoder([""]).eq(0).all()


def test_an_empty_text_in_a_training_batch_leaves_the_gradients_finite(encoder):
    encoder.train().encode_ids(*encoder.tokenize(["", "a red robot"])).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_token_ids_in_the_padding_do_not_matter(encoder):
    ids, lengths = encoder.tokenize(["a red robot"])
    other = ids.clone()
    other[:, 3:] = 5
    torch.testing.assert_close(encoder.encode_ids(ids, lengths), encoder.encode_ids(other, lengths))


def test_a_text_has_the_same_embedding_alone_and_in_a_batch(encoder):
    alone = encoder(["a red robot"])
    together = encoder(["a snowy field in a meadow", "a red robot"])
    torch.testing.assert_close(alone[0], together[1])


def test_the_order_of_the_words_matters(encoder):
    assert (encoder(["red frog"])[0, 0] - encoder(["frog red"])[0, 1]).abs().max() > 1e-4


def test_in_a_fresh_encoder_every_word_dominates_its_own_row():
    torch.manual_seed(0)
    fresh = PocketTextEncoder.from_words(CAPTIONS).eval()
    robot, frog, other_order = fresh(
        ["a red robot stands still", "a red frog stands still", "a robot red stands still"]
    )
    changed = (frog - robot)[:5].norm(dim=1)
    elsewhere = changed[[0, 1, 3, 4]]
    assert changed[2] > 0.5 * robot[2].norm() and changed[2] > 4 * elsewhere.max()
    assert (other_order - robot)[1:3].norm(dim=1).min() > 0.5 * robot[1:3].norm(dim=1).max()


def test_case_white_space_and_punctuation_are_dropped(encoder):
    assert encoder(["  A red,  Robot. "]).equal(encoder(["a red robot"]))


def test_encode_ids_and_call_agree(encoder):
    for mode in (True, False):
        trained = encoder.train(mode).encode_ids(*encoder.tokenize(["a red robot"]))
        torch.testing.assert_close(trained, encoder(["a red robot"]), atol=2e-6, rtol=0)


def test_encode_ids_reaches_every_parameter_but_the_unused_words(encoder):
    encoder.train().encode_ids(*encoder.tokenize(["a red robot"])).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []
    row_is_used = encoder.embedding.weight.grad.abs().sum(-1) > 0
    words = ("a", "red", "robot")
    assert {encoder.tokenizer.id_to_token(int(i)) for i in row_is_used.nonzero()} <= {*words, "[PAD]"}
    assert all(row_is_used[encoder.tokenizer.token_to_id(word)] for word in words)


def test_calling_the_encoder_records_no_gradient(encoder):
    assert not encoder(["a red robot"]).requires_grad


def test_unknown_words_are_named_with_the_nearest_known_word(encoder):
    with pytest.raises(UnknownWords, match=r"'dragon', 'fogr' \(did you mean 'frog'\?\)") as caught:
        encoder(["a dragon fogr dragon"])
    assert caught.value.words == ("dragon", "fogr")
    assert isinstance(caught.value, ValueError)


def test_padding_and_unknown_tokens_are_not_words(encoder):
    assert "[PAD]" not in encoder.known_words and "robot" in encoder.known_words
    with pytest.raises(UnknownWords):
        encoder(["[UNK]"])


def test_a_prompt_may_fill_every_row_but_not_more(encoder):
    assert encoder(["red " * 8]).shape == (1, 8, 12)
    with pytest.raises(ValueError, match="at most 8 words, got 9"):
        encoder(["red " * 9])


def test_a_tokenizer_from_its_json_gives_the_same_embeddings(encoder):
    again = Tokenizer.from_str(encoder.tokenizer.to_str())
    copy = PocketTextEncoder(again, SMALL).eval()
    copy.load_state_dict(encoder.state_dict())
    assert copy(["A red, robot"]).equal(encoder(["a red robot"]))
    assert copy.fingerprint == encoder.fingerprint


def test_the_order_of_the_captions_does_not_change_the_ids():
    assert build_tokenizer(CAPTIONS).get_vocab() == build_tokenizer(CAPTIONS[::-1]).get_vocab()


def test_the_fingerprint_changes_with_one_weight_one_word_or_the_dtype(encoder):
    weights = encoder.state_dict()

    def copy(captions):
        other = PocketTextEncoder.from_words(captions, SMALL)
        other.load_state_dict(weights)
        return other

    nudged = copy(CAPTIONS)
    nudged.head.bias.data[0] += 1e-3
    renamed = copy([text.replace("frog", "frox") for text in CAPTIONS])
    rounded = copy(CAPTIONS).bfloat16()
    prints = {encoder.fingerprint, nudged.fingerprint, renamed.fingerprint, rounded.fingerprint}
    assert len(prints) == 4
    assert copy(CAPTIONS).fingerprint == encoder.fingerprint


def test_bfloat16_embeddings_are_bfloat16(encoder):
    rows = encoder.bfloat16()(["a red robot"])
    assert rows.dtype is torch.bfloat16 and rows.isfinite().all()


@pytest.mark.parametrize(
    ("sizes", "message"), [({"dim": 10, "num_heads": 4}, "multiple"), ({"text_len": 0}, "text_len")]
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        PocketTextConfig(**sizes)


def test_importing_every_encoder_imports_neither_transformers_nor_ftfy():
    code = "import sys, infrope_env.text.lazy; print('transformers' in sys.modules or 'ftfy' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
