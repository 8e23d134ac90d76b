"""Text to embedding: what every encoder promises, and the small bundled one. Wan's stands in umt5.py.

An encoder gives `text_len` rows per text and exact zeros after the last word; the generator attends to the zero rows
too. Knows nothing of actions or caching.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn

PAD, UNKNOWN = "[PAD]", "[UNK]"


class TextEncoder(Protocol):
    """What the engine needs from a text encoder; a function with three attributes will do."""

    @property
    def text_len(self) -> int:
        """Rows of every embedding."""

    @property
    def text_dim(self) -> int:
        """Width of every row."""

    @property
    def fingerprint(self) -> str:
        """Names the weights: equal fingerprints give equal embeddings."""

    def __call__(self, texts: list[str]) -> Tensor:
        """Embeddings [b, text_len, text_dim] without gradient, zero after each text's last token."""


@runtime_checkable
class Releasable(Protocol):
    """A text encoder whose weights need not stay in memory between prompts."""

    def release(self) -> None:
        """Let the weights go; the next call brings them back."""


class TextEncoderAbsent(ValueError):
    """A text would have to be encoded, and there is nothing to do it with; the sentence says why and what to do."""

    def __init__(self, texts: list[str], reason: str, remedy: str) -> None:
        """Quote the first text."""
        super().__init__(f"The prompt {_short(texts[0])!r} was never encoded before, and {reason}. {remedy}")


class UnknownWords(ValueError):
    """A prompt uses words that the bundled encoder was never taught.

    Attributes:
        words: the unknown words, in the order of the text.
    """

    def __init__(self, text: str, words: list[str], known: Iterable[str]) -> None:
        """Name the words and, where one is close, the known word that may have been meant."""
        self.words = tuple(dict.fromkeys(words))
        known = list(known)
        hints = ", ".join(f"{word!r}{_did_you_mean(word, known)}" for word in self.words)
        super().__init__(f"The prompt {text!r} has words the text encoder does not know: {hints}.")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _did_you_mean(word: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


@dataclass(frozen=True)
class PocketTextConfig:
    """Sizes of the bundled encoder; the vocabulary is the tokenizer's."""

    dim: int = 192
    num_layers: int = 2
    num_heads: int = 4
    text_len: int = 24
    text_dim: int = 192

    def __post_init__(self) -> None:
        """Refuse sizes that no encoder can have."""
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"expected PocketTextConfig.{name} to be at least 1, got {value}")
        if self.dim % self.num_heads:
            raise ValueError(f"expected dim to be a multiple of num_heads, got {self.dim} and {self.num_heads}")


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Make a word-level tokenizer that knows every word of `texts` (words or whole captions).

    Letters are lowered and punctuation, commas included, is dropped: "A fox, waving." reads as a | fox | waving.
    The same texts in any order give the same ids; id 0 is padding, id 1 stands for an unknown word.
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
    """The words of a text as the tokenizer sees them, known or not."""
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


class PocketTextEncoder(nn.Module):
    """The bundled encoder: known words, learned positions, a small bidirectional transformer."""

    def __init__(self, tokenizer: Tokenizer, config: PocketTextConfig | None = None) -> None:
        """Start from random weights.

        Args:
            tokenizer: from `build_tokenizer` or `Tokenizer.from_str` of a saved tokenizer.json.
            config: sizes; the defaults when omitted.
        """
        super().__init__()
        self.tokenizer, self.config = tokenizer, config or PocketTextConfig()
        self.embedding = nn.Embedding(tokenizer.get_vocab_size(), self.config.dim)
        # words and positions begin as large as what the layers add: a smaller word is drowned by the scene's for good
        self.position = nn.Parameter(0.5 * torch.randn(self.config.text_len, self.config.dim))
        self.layers = _transformer(self.config)
        self.norm = nn.LayerNorm(self.config.dim)
        self.head = nn.Linear(self.config.dim, self.config.text_dim)

    @classmethod
    def from_words(cls, words: Iterable[str], config: PocketTextConfig | None = None) -> "PocketTextEncoder":
        """A fresh encoder that knows every word of `words` (words or whole captions)."""
        return cls(build_tokenizer(words), config)

    @property
    def text_len(self) -> int:
        """Rows of every embedding: the longest text, in words."""
        return self.config.text_len

    @property
    def text_dim(self) -> int:
        """Width of every row."""
        return self.config.text_dim

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words a prompt may use, sorted."""
        return tuple(sorted(set(self.tokenizer.get_vocab()) - {PAD, UNKNOWN}))

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of sizes, vocabulary and weights as they are at the first reading; do not read it while training."""
        digest = hashlib.sha256(json.dumps(asdict(self.config)).encode() + self.tokenizer.to_str().encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(_bytes(value))
        return digest.hexdigest()

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Turn texts into padded ids on the encoder's device.

        Returns:
            ids [b, text_len] and lengths [b], both int64.

        Raises:
            UnknownWords: a word is not in the vocabulary.
            ValueError: a text has more than `text_len` words.
        """
        rows = [self._ids(text) for text in texts]
        ids = torch.zeros(len(rows), self.text_len, dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return ids.to(self.position.device), lengths.to(self.position.device)

    def _ids(self, text: str) -> list[int]:
        words = split_words(self.tokenizer, text)
        unknown = [word for word in words if self.tokenizer.token_to_id(word) is None]
        if unknown:
            raise UnknownWords(text, unknown, self.known_words)
        if len(words) > self.text_len:
            raise ValueError(f"expected a prompt of at most {self.text_len} words, got {len(words)}: {text!r}")
        return self.tokenizer.encode(text).ids

    def encode_ids(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Embed token ids; differentiable, for training.

        Args:
            ids: [b, text_len] int64, anything after a row's length is ignored.
            lengths: [b] int64, valid tokens of each row; 0 gives all zeros.

        Returns:
            embeddings [b, text_len, text_dim], exactly zero after the valid tokens.
        """
        places = torch.arange(self.text_len, device=ids.device)
        valid = places < lengths[:, None]  # [b, text_len]
        seen = valid | (places == 0)  # attention over nothing may be nan: an empty text sees one padding
        x = self.embedding(ids) + self.position  # [b, text_len, dim]
        x = self.layers(x, src_key_padding_mask=~seen)
        return self.head(self.norm(x)).masked_fill(~valid[..., None], 0)

    @torch.no_grad()
    def forward(self, texts: list[str]) -> Tensor:
        """Embed texts for play, without gradient: [b, text_len, text_dim]. Errors as in `tokenize`."""
        return self.encode_ids(*self.tokenize(texts))


def _transformer(config: PocketTextConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.dim,
        config.num_heads,
        dim_feedforward=4 * config.dim,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)


def _bytes(value: Tensor) -> bytes:
    return value.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().tobytes()
