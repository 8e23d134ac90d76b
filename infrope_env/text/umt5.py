"""UMT5-XXL, the text encoder that Wan 2.1 was trained with: text to 512 rows of 4096.

A text is cleaned, truncated to 512 tokens with its end mark, and encoded alone; rows after the last token are zero.
`transformers` and `ftfy` are imported only when they are needed.
"""

from __future__ import annotations

import html
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.tensor_files import fill
from infrope_env.text.int8 import quantize_linears
from infrope_env.text.umt5_files import UMT5Files, UMT5Sizes

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

TEXT_LEN, END = 512, "</s>"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "int8": torch.bfloat16}
"""Dtype of the arithmetic by name; "int8" keeps the weights of linear layers in 8 bits."""


def clean_text(text: str) -> str:
    """Repair a prompt as Wan's tokenizer expects it: mojibake, HTML entities (twice), white space.

    Raises:
        ImportError: `ftfy` is not installed.
    """
    try:
        import ftfy
    except ImportError as error:
        raise ImportError("Wan's prompts are cleaned with ftfy. Run 'pip install infrope-env[wan]'.") from error
    unescaped = html.unescape(html.unescape(ftfy.fix_text(text)))  # twice: "&amp;lt;" is "<"
    return re.sub(r"\s+", " ", unescaped).strip()


class UMT5TextEncoder:
    """UMT5-XXL in memory.

    Attributes:
        text_len: Rows of every embedding.
        text_dim: Width of every row.
        model: The encoder of `transformers`, in evaluation mode.
        tokenizer: Its tokenizer, which truncates to 512 tokens, the end mark included.
        fingerprint: Digest of weights, tokenizer and dtype. The device, which can change the last bits, is not in it.
    """

    text_len = TEXT_LEN

    def __init__(self, model: UMT5EncoderModel, tokenizer: Tokenizer, fingerprint: str) -> None:
        """Join a loaded encoder and its tokenizer; `from_folder` loads them."""
        self.model, self.tokenizer, self.fingerprint = model, tokenizer, fingerprint
        self.text_dim: int = model.config.d_model

    @classmethod
    def from_folder(cls, folder: str | Path, *, device: str = "cpu", dtype: str = "bfloat16") -> UMT5TextEncoder:
        """Load from a download of Wan 2.1; umt5_files.py lists the layouts.

        Args:
            folder: Top folder of the download.
            device: Device of the encoder and of its embeddings.
            dtype: "bfloat16" (11 GB; on the CPU mapped from disk), "float32" (23 GB), or "int8" (7 GB).

        Raises:
            ImportError: `transformers` is not installed.
            WeightsError: Files are missing or damaged, or not UMT5's.
            ValueError: The dtype is unknown.
        """
        check_dtype(dtype)
        files = UMT5Files.find(folder)
        tokenizer, tensors = _load_tokenizer(files.tokenizer), files.tensors()
        sizes = UMT5Sizes.of(tensors, files.folder)
        model = fill(lambda: _build(sizes), tensors, files.folder, "UMT5", "Download the folder again.")
        model.set_input_embeddings(model.shared)  # some versions of transformers keep a second embedding at zero
        if dtype == "int8":
            quantize_linears(model, device)
        for parameter in model.parameters():  # a CPU parameter in the right dtype stays mapped from disk
            parameter.data = parameter.data.to(device, DTYPES[dtype])
        return cls(model, tokenizer, files.fingerprint(dtype))

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts to b 512 text_dim, one by one, so that a batch does not change an embedding.

        Without padding there is nothing to mask. Up to rounding the values are those of a padded and masked text (Wan's
        way), in a fraction of the time.
        """
        rows = torch.zeros(len(texts), TEXT_LEN, self.text_dim, dtype=self.model.dtype, device=self.model.device)
        for i, text in enumerate(texts):
            ids = torch.tensor([self.tokenizer.encode(clean_text(text)).ids], device=rows.device)  # 1 tokens
            rows[i, : ids.shape[1]] = self.model(input_ids=ids).last_hidden_state[0]
        return rows


def check_dtype(dtype: str) -> None:
    """Raise ValueError for a dtype that UMT5 cannot be computed in: in float16 its feed-forward layers overflow."""
    if dtype not in DTYPES:
        raise ValueError(f"expected the text encoder's dtype to be one of {', '.join(DTYPES)}, got {dtype!r}")


def _build(sizes: UMT5Sizes) -> UMT5EncoderModel:
    try:
        from transformers import UMT5Config, UMT5EncoderModel
    except ImportError as error:
        raise ImportError("UMT5 needs transformers. Run 'pip install infrope-env[wan]'.") from error
    model = UMT5EncoderModel(UMT5Config(**asdict(sizes), feed_forward_proj="gated-gelu"))
    model.set_attn_implementation("eager")  # as Wan computes it, in every version of transformers
    return model


def _load_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise WeightsError(f"{path}: not a tokenizer ({error}). Download it again.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXT_LEN)
    if tokenizer.encode("a").tokens[-1:] != [END]:
        raise WeightsError(f"{path}: expected UMT5's tokenizer, which ends every text with {END}.")
    return tokenizer
