"""Text encoders: the protocol, and the small encoder of the pocket model. Wan's is in umt5.py.

An encoder gives `text_len` rows per text, exactly zero after the last word. The generator attends to the zero rows too.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn

from infrope_env.text.turns import Turns

PAD, UNKNOWN = "[PAD]", "[UNK]"
"""Tokens of padding and of words outside the vocabulary, ids 0 and 1."""


class TextEncoder(Protocol):
    """Text encoder as the engine uses it; a function with three attributes is enough."""

    @property
    def text_len(self) -> int:
        """Rows of every embedding."""

    @property
    def text_dim(self) -> int:
        """Width of every row."""

    @property
    def fingerprint(self) -> str:
        """Digest of the weights; equal fingerprints give equal embeddings."""

    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts to b text_len text_dim, without gradient, zero after each text's last token."""


@runtime_checkable
class Releasable(Protocol):
    """Text encoder that can free its weights between prompts."""

    def release(self) -> None:
        """Free the weights; the next call loads them again."""


@runtime_checkable
class LargeTextEncoder(Releasable, Protocol):
    """Text encoder that takes seconds per text, such as `lazy.LazyTextEncoder`.

    Attributes:
        turns: The order of encoding with this encoder.
        seconds_each: Seconds that the newest batch took per text; None before the first.
    """

    text_len: int
    text_dim: int
    fingerprint: str
    turns: Turns
    seconds_each: float | None

    @property
    def available(self) -> bool:
        """Whether texts may be encoded at all."""

    @property
    def batch_size(self) -> int:
        """Number of texts that are best encoded together now."""

    def __call__(self, texts: list[str], report: Callable[[float], None] = ...) -> Tensor:
        """Encode texts as `TextEncoder` does; `report` receives the fraction that is done."""

    def encode_in_background(
        self, texts: list[str], stopped: Callable[[], bool], report: Callable[[float], None]
    ) -> Tensor:
        """Encode texts in the calling thread, after those that are urgent; EncodingStopped once `stopped` is True."""

    def cut_of(self, text: str) -> str | None:
        """Return a sentence on where a long text is cut; None if it is whole."""


class TextEncoderAbsent(ValueError):
    """A new text cannot be encoded because there is no text encoder; the message has the reason and a remedy."""

    def __init__(self, texts: list[str], reason: str, remedy: str) -> None:
        """Compose the message.

        Args:
            texts: Texts that cannot be encoded; the message quotes the first, cut to 60 characters.
            reason: Why there is no encoder, as a clause.
            remedy: What to do, as a sentence.
        """
        quoted = texts[0] if len(texts[0]) <= 60 else f"{texts[0][:57]}..."
        super().__init__(f"The prompt {quoted!r} was never encoded before, and {reason}. {remedy}")


class UnknownWords(ValueError):
    """A prompt has words that are not in the pocket encoder's vocabulary.

    Attributes:
        words: Unknown words, each once, in the order of the text.
    """

    def __init__(self, text: str, words: list[str], known: Iterable[str]) -> None:
        """Compose the message, which names the unknown words and for each the most similar known word, if any.

        Args:
            text: The prompt.
            words: Its unknown words.
            known: The vocabulary.
        """
        self.words = tuple(dict.fromkeys(words))
        known = list(known)
        hints = ", ".join(f"{word!r}{_did_you_mean(word, known)}" for word in self.words)
        super().__init__(f"The prompt {text!r} has words the text encoder does not know: {hints}.")


def _did_you_mean(word: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


@dataclass(frozen=True)
class PocketTextConfig:
    """Sizes of the pocket encoder; the size of the vocabulary is the tokenizer's.

    Attributes:
        dim: Width of a token in the transformer; a multiple of `num_heads`. Default 192.
        num_layers: Transformer layers. Default 2.
        num_heads: Attention heads per layer. Default 4.
        text_len: Rows of an embedding, the most words of a prompt. Default 24.
        text_dim: Width of a row of an embedding. Default 192.
    """

    dim: int = 192
    num_layers: int = 2
    num_heads: int = 4
    text_len: int = 24
    text_dim: int = 192

    def __post_init__(self) -> None:
        """Check that the sizes are positive and divisible."""
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"expected PocketTextConfig.{name} to be at least 1, got {value}")
        if self.dim % self.num_heads:
            raise ValueError(f"expected dim to be a multiple of num_heads, got {self.dim} and {self.num_heads}")


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Return a word-level tokenizer whose vocabulary is every word of `texts` (words or whole captions).

    Text is lower-cased and punctuation is dropped: "A fox, waving." gives a | fox | waving. The order of the texts does
    not change the ids.
    """
    tokenizer = Tokenizer(models.WordLevel({PAD: 0, UNKNOWN: 1}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("removed")]
    )
    words = sorted({word for text in texts for word in split_words(tokenizer, text)})
    tokenizer.model = models.WordLevel({word: i for i, word in enumerate([PAD, UNKNOWN, *words])}, unk_token=UNKNOWN)
    return tokenizer


def split_words(tokenizer: Tokenizer, text: str) -> list[str]:
    """Split a text into the tokenizer's words, known or not."""
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


class PocketTextEncoder(nn.Module):
    """The pocket model's encoder: a closed vocabulary, learned positions, a small bidirectional transformer."""

    def __init__(self, tokenizer: Tokenizer, config: PocketTextConfig | None = None) -> None:
        """Make an encoder with random weights.

        Args:
            tokenizer: Tokenizer from `build_tokenizer`, or from `Tokenizer.from_str` with a saved tokenizer.json.
            config: Sizes. Default `PocketTextConfig()`.
        """
        super().__init__()
        self.tokenizer, self.config = tokenizer, config or PocketTextConfig()
        self.embedding = nn.Embedding(tokenizer.get_vocab_size(), self.config.dim)
        # Words and positions start as large as the layers' output: training does not make up for smaller ones.
        self.position = nn.Parameter(0.5 * torch.randn(self.config.text_len, self.config.dim))
        layer = nn.TransformerEncoderLayer(
            self.config.dim,
            self.config.num_heads,
            dim_feedforward=4 * self.config.dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, self.config.num_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(self.config.dim)
        self.head = nn.Linear(self.config.dim, self.config.text_dim)

    @classmethod
    def from_words(cls, words: Iterable[str], config: PocketTextConfig | None = None) -> PocketTextEncoder:
        """Return an encoder with random weights whose vocabulary is every word of `words` (words or whole captions)."""
        return cls(build_tokenizer(words), config)

    @property
    def text_len(self) -> int:
        """Rows of every embedding, the most words of a text."""
        return self.config.text_len

    @property
    def text_dim(self) -> int:
        """Width of every row."""
        return self.config.text_dim

    @property
    def known_words(self) -> tuple[str, ...]:
        """The vocabulary: words that a prompt may have, sorted."""
        return tuple(sorted(set(self.tokenizer.get_vocab()) - {PAD, UNKNOWN}))

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of sizes, vocabulary and weights, computed at the first access: do not access it during training."""
        digest = hashlib.sha256(json.dumps(asdict(self.config)).encode() + self.tokenizer.to_str().encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Convert texts to padded token ids on the encoder's device.

        Returns:
            Token ids, b text_len, and the number of tokens of each text, b; both int64.

        Raises:
            UnknownWords: A word is not in the vocabulary.
            ValueError: A text has more than `text_len` words.
        """
        rows = [self._token_ids(text) for text in texts]
        ids = torch.zeros(len(rows), self.text_len, dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return ids.to(self.position.device), lengths.to(self.position.device)

    def _token_ids(self, text: str) -> list[int]:
        words = split_words(self.tokenizer, text)
        unknown = [word for word in words if self.tokenizer.token_to_id(word) is None]
        if unknown:
            raise UnknownWords(text, unknown, self.known_words)
        if len(words) > self.text_len:
            raise ValueError(f"expected a prompt of at most {self.text_len} words, got {len(words)}: {text!r}")
        return self.tokenizer.encode(text).ids

    def encode_ids(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encode token ids; differentiable, for training.

        Args:
            ids: Token ids, b text_len, int64; those from a row's length on are ignored.
            lengths: Number of tokens of each row, b, int64; 0 gives zeros.

        Returns:
            Embeddings, b text_len text_dim, exactly zero from a row's length on.
        """
        positions = torch.arange(self.text_len, device=ids.device)
        valid = positions < lengths[:, None]  # b text_len
        attended = valid | (positions == 0)  # an empty text attends to one padding token: over none, it may be nan
        x = self.embedding(ids) + self.position  # b text_len dim
        x = self.layers(x, src_key_padding_mask=~attended)
        return self.head(self.norm(x)).masked_fill(~valid[..., None], 0)

    @torch.no_grad()
    def forward(self, texts: list[str]) -> Tensor:
        """Encode texts to b text_len text_dim, without gradient. Errors are those of `tokenize`."""
        return self.encode_ids(*self.tokenize(texts))
