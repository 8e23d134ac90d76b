"""Finds UMT5-XXL in the folders that users of Wan have, and reads its tensors under the names of `transformers`.

    Wan-AI/Wan2.1-T2V-1.3B-Diffusers   text_encoder/model-*.safetensors, tokenizer/tokenizer.json
    Wan-AI/Wan2.1-T2V-1.3B             models_t5_umt5-xxl-enc-bf16.pth, google/umt5-xxl/tokenizer.json
    one folder as transformers saves   model*.safetensors, tokenizer.json

Knows files, names and sizes; what is computed with them stands in umt5.py. Written from the code that saves and loads
these files: the 11 GB themselves were never opened here.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

LAYOUTS = (
    ("text_encoder/model*.safetensors", "tokenizer/tokenizer.json"),
    ("models_t5_*.pth", "google/umt5-xxl/tokenizer.json"),
    ("model*.safetensors", "tokenizer.json"),
)
"""(weights, tokenizer) below the folder; the first whose weights are there is taken."""

ORIGINAL_NAMES = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}
"""What Wan's own code calls the parts of a block, and what `transformers` calls them."""

DOWNLOAD = "Wan-AI/Wan2.1-T2V-1.3B or Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
PIECES, PIECE_BYTES = 256, 4096  # of each file of weights, for the fingerprint


class TextEncoderError(ValueError):
    """The text encoder's files are missing, damaged or not UMT5's; the sentence says which and what to do."""


@dataclass(frozen=True)
class UMT5Files:
    """The files of one encoder: its weights, in order, and its tokenizer."""

    weights: tuple[Path, ...]
    tokenizer: Path

    @classmethod
    def find(cls, folder: str | Path) -> UMT5Files:
        """Look through the known layouts; TextEncoderError when none is there, or the tokenizer is not."""
        folder = Path(folder).expanduser()
        for weights, tokenizer in LAYOUTS:
            if found := tuple(sorted(folder.glob(weights))):
                return cls(found, _required(folder / tokenizer))
        expected = ", ".join(weights for weights, _ in LAYOUTS)
        raise TextEncoderError(
            f"{folder} holds no UMT5 text encoder: expected one of {expected}. "
            f"Download {DOWNLOAD} and pass the path of its folder."
        )

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        return self.weights[0].parent

    def fingerprint(self, dtype: str) -> str:
        """Sha256 of the tokenizer, of the sizes of the weights and of samples of them, and of how they are computed in.

        A megabyte of each file, spread evenly, tells encoders apart; all 11 GB would take longer than the first prompt.
        """
        digest = hashlib.sha256(f"umt5 {dtype}".encode() + self.tokenizer.read_bytes())
        for path in self.weights:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with path.open("rb") as file:
                for i in range(PIECES):
                    file.seek(max(0, size - PIECE_BYTES) * i // (PIECES - 1))
                    digest.update(file.read(PIECE_BYTES))
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor on the CPU, mapped from disk rather than read, by its name in `transformers`' UMT5EncoderModel.

        Raises:
            TextEncoderError: a file is truncated, or no file of weights.
        """
        tensors: dict[str, Tensor] = {}
        for path in self.weights:
            tensors |= {transformers_name(name): tensor for name, tensor in _read(path).items()}
        return _with_both_embeddings(tensors)


def transformers_name(name: str) -> str:
    """The name in `transformers` of a parameter of either layout; a name of neither stays.

    "blocks.3.ffn.gate.0.weight" is "encoder.block.3.layer.1.DenseReluDense.wi_0.weight".
    """
    outside = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
    inside = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    if inside is None or inside[2] not in ORIGINAL_NAMES:
        return outside.get(name, name)
    return f"encoder.block.{inside[1]}.{ORIGINAL_NAMES[inside[2]]}.weight"


@dataclass(frozen=True)
class UMT5Sizes:
    """The sizes that tell one UMT5 encoder from another, under the names of `transformers`' UMT5Config."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    relative_attention_num_buckets: int

    @classmethod
    def of(cls, tensors: dict[str, Tensor], folder: Path) -> UMT5Sizes:
        """Read them off the tensors' shapes, so that no layout needs another file.

        Raises:
            TextEncoderError: a tensor is missing.
        """

        def shape(name: str) -> tuple[int, ...]:
            if name not in tensors:
                raise TextEncoderError(f"{folder}: not the weights of a UMT5 encoder, they have no tensor {name!r}.")
            return tuple(tensors[name].shape)

        attention = "encoder.block.0.layer.0.SelfAttention"
        vocab_size, d_model = shape("shared.weight")
        buckets, heads = shape(f"{attention}.relative_attention_bias.weight")
        layers = {match[1] for name in tensors if (match := re.match(r"encoder\.block\.(\d+)\.", name))}
        return cls(
            vocab_size=vocab_size,
            d_model=d_model,
            d_kv=shape(f"{attention}.q.weight")[0] // heads,
            d_ff=shape("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")[0],
            num_layers=len(layers),
            num_heads=heads,
            relative_attention_num_buckets=buckets,
        )


def _required(path: Path) -> Path:
    if not path.is_file():
        raise TextEncoderError(
            f"{path} is missing: the text encoder needs its tokenizer. Download it with the weights."
        )
    return path


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, under its own names."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return _mapping(torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True))
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise TextEncoderError(f"{path}: truncated, or no file of weights ({reason}). Download it again.") from error


def _mapping(content: object) -> dict[str, Tensor]:
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TypeError(f"it holds {type(content).__name__}, not tensors by name")
    return content


def _with_both_embeddings(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The token embedding under both of its names: files have one or the other or both."""
    names = ("shared.weight", "encoder.embed_tokens.weight")
    known = next((tensors[name] for name in names if name in tensors), None)
    return tensors if known is None else tensors | dict.fromkeys(names, known)
