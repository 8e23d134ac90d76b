"""The files of UMT5-XXL in downloads of Wan, and their tensors under the names of `transformers`.

    Wan-AI/Wan2.1-T2V-1.3B-Diffusers   text_encoder/model-*.safetensors, tokenizer/tokenizer.json
    Wan-AI/Wan2.1-T2V-1.3B             models_t5_umt5-xxl-enc-bf16.pth, google/umt5-xxl/tokenizer.json

The layouts follow the code that saves and loads these files; no test has read the released files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.tensor_files import read_tensors

LAYOUTS = (
    ("text_encoder/model*.safetensors", "tokenizer/tokenizer.json"),
    ("models_t5_*.pth", "google/umt5-xxl/tokenizer.json"),
)
"""(weights, tokenizer) below the folder; the first layout whose weights exist is used."""

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
"""Names of a layer's parts in Wan's own code to their names in `transformers`."""

DOWNLOAD = "Wan-AI/Wan2.1-T2V-1.3B or Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
PIECES, PIECE_BYTES = 256, 4096  # samples of each file of weights, for the fingerprint
EMBEDDING_NAMES = ("shared.weight", "encoder.embed_tokens.weight")


@dataclass(frozen=True)
class UMT5Files:
    """Files of one encoder.

    Attributes:
        weights: Files of weights, in order.
        tokenizer: tokenizer.json.
    """

    weights: tuple[Path, ...]
    tokenizer: Path

    @classmethod
    def find(cls, folder: str | Path) -> UMT5Files:
        """Search a folder for the known layouts; WeightsError when none is there, or the tokenizer is missing."""
        folder = Path(folder).expanduser()
        for weights, tokenizer in LAYOUTS:
            if found := tuple(sorted(folder.glob(weights))):
                path = folder / tokenizer
                if not path.is_file():
                    raise WeightsError(
                        f"{path} is missing: the text encoder needs its tokenizer. Download it with the weights."
                    )
                return cls(found, path)
        expected = ", ".join(weights for weights, _ in LAYOUTS)
        raise WeightsError(
            f"{folder} holds no UMT5 text encoder: expected one of {expected}. "
            f"Download {DOWNLOAD} and pass the path of its folder."
        )

    @property
    def folder(self) -> Path:
        """Folder of the weights."""
        return self.weights[0].parent

    def fingerprint(self, dtype: str) -> str:
        """Return a sha256 of the dtype of the weights, the tokenizer, and sizes and samples of the weights.

        A megabyte of each file, sampled evenly, distinguishes encoders; hashing 11 GB would delay the first prompt.
        """
        digest = hashlib.sha256(f"umt5 {dtype} in float32".encode() + self.tokenizer.read_bytes())
        for path in self.weights:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with path.open("rb") as file:
                for i in range(PIECES):
                    file.seek(max(0, size - PIECE_BYTES) * i // (PIECES - 1))
                    digest.update(file.read(PIECE_BYTES))
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, mapped from disk, by their names in `transformers`' UMT5EncoderModel.

        The token embedding has both of its names; files have one, the other, or both.

        Raises:
            WeightsError: A file is truncated, or holds no named tensors.
        """
        tensors: dict[str, Tensor] = {}
        for path in self.weights:
            tensors |= {transformers_name(name): tensor for name, tensor in read_tensors(path).items()}
        embedding = next((tensors[name] for name in EMBEDDING_NAMES if name in tensors), None)
        return tensors if embedding is None else tensors | dict.fromkeys(EMBEDDING_NAMES, embedding)


def transformers_name(name: str) -> str:
    """Return the name in `transformers` of a parameter of either layout; other names stay.

    "blocks.3.ffn.gate.0.weight" becomes "encoder.block.3.layer.1.DenseReluDense.wi_0.weight".
    """
    outside = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
    inside = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    if inside is None or inside[2] not in ORIGINAL_NAMES:
        return outside.get(name, name)
    return f"encoder.block.{inside[1]}.{ORIGINAL_NAMES[inside[2]]}.weight"


@dataclass(frozen=True)
class UMT5Sizes:
    """Sizes of a UMT5 encoder, under the names of `transformers`' UMT5Config."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    relative_attention_num_buckets: int

    @classmethod
    def of(cls, tensors: dict[str, Tensor], folder: Path) -> UMT5Sizes:
        """Read the sizes off the tensors' shapes, so that no layout needs another file.

        Raises:
            WeightsError: A tensor is missing.
        """

        def shape(name: str) -> tuple[int, ...]:
            if name not in tensors:
                raise WeightsError(f"{folder}: not the weights of a UMT5 encoder, they have no tensor {name!r}.")
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
