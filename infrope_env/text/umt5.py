"""UMT5-XXL, the text encoder that Wan 2.1 was trained with: text to 512 rows of 4096.

A text is cleaned, truncated to 512 tokens with its end mark, and encoded alone; rows after the last token are zero. The
weights stay in their files and travel through memory layer by layer: texts that are encoded together share the journey,
not the arithmetic. `transformers` and `ftfy` are imported only when they are needed.
"""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from infrope_env.errors import WeightsError
from infrope_env.tensor_files import fill
from infrope_env.text.int8 import round_to_8_bits
from infrope_env.text.layer_stream import LayerStream
from infrope_env.text.umt5_files import UMT5Files, UMT5Sizes

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

TEXT_LEN, END = 512, "</s>"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "int8": torch.bfloat16}
"""Dtype of the embeddings by the name of the weights' dtype; "int8" rounds the weights of linear layers to 8 bits."""
ARITHMETIC = torch.float32
"""Dtype of the arithmetic on every device: bfloat16 is emulated on most processors, and UMT5 overflows in float16."""
QUOTED = 40  # characters on each side of the place where a long prompt is cut

Checkpoint = Callable[[float], None]
"""Called many times while texts are encoded, with the fraction that is done; what it raises ends the encoding."""


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
    """UMT5-XXL, with its weights in their mapped files.

    Attributes:
        text_len: Rows of every embedding.
        text_dim: Width of every row.
        device: Where the layers compute, and the device of every embedding.
        dtype: Dtype of every embedding.
        stream: Weights of the layers, as they travel through memory.
        tokenizer: Its tokenizer, which truncates to 512 tokens, the end mark included.
        fingerprint: Digest of weights, tokenizer and dtype. The device, which can change the last bits, is not in it.
    """

    text_len = TEXT_LEN

    def __init__(
        self,
        model: UMT5EncoderModel,
        tokenizer: Tokenizer,
        fingerprint: str,
        *,
        device: str = "cpu",
        dtype: str = "bfloat16",
        arithmetic: torch.dtype = ARITHMETIC,
    ) -> None:
        """Take apart an encoder whose weights are mapped; `from_folder` maps them.

        Args:
            model: The encoder of `transformers`, in evaluation mode.
            tokenizer: See the attribute.
            fingerprint: See the attribute.
            device: See the attribute.
            dtype: Name of the weights' dtype, one of `DTYPES`.
            arithmetic: Dtype of the arithmetic. Another than the default makes other bytes under the same fingerprint.
        """
        self.tokenizer, self.fingerprint, self.device, self.dtype = tokenizer, fingerprint, device, DTYPES[dtype]
        self.text_dim: int = model.config.d_model
        self._arithmetic, self._eight_bits = arithmetic, dtype == "int8"
        self._table: Tensor = model.shared.weight
        layers, stack = model.encoder.block, model.encoder
        self.stream = LayerStream(
            [dict(layer.state_dict()) for layer in layers],
            torch.device(device),
            arithmetic,
            prepare=self._prepare,
            host_dtype=arithmetic if self._eight_bits else self.dtype,
        )
        self._norm, self._layer, self._stack = stack.final_layer_norm, layers[0], stack
        scale = self._prepare("", self._norm.weight).to(device, arithmetic)
        self._norm.weight = nn.Parameter(scale, requires_grad=False)
        stack.block = nn.ModuleList([self._layer])  # the weights of this layer will be those of every layer
        stack.set_submodule("final_layer_norm", nn.Identity())
        self._turn = threading.Lock()
        self._before_product: Callable[[], None] = lambda: None
        for part in self._layer.modules():
            if isinstance(part, nn.Linear):
                part.register_forward_pre_hook(lambda *_: self._before_product())

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "bfloat16",
        arithmetic: torch.dtype = ARITHMETIC,
    ) -> UMT5TextEncoder:
        """Map a download of Wan 2.1; umt5_files.py lists the layouts.

        Args:
            folder: Top folder of the download.
            device: Device of the arithmetic and of the embeddings.
            dtype: Dtype that the weights are rounded to: "bfloat16" (as released), "float32", or "int8".
            arithmetic: As in `__init__`.

        Raises:
            ImportError: `transformers` is not installed.
            WeightsError: Files are missing or damaged, or not UMT5's.
            ValueError: The dtype is unknown.
        """
        check_dtype(dtype)
        files = UMT5Files.find(folder)
        tokenizer, tensors = load_tokenizer(files.tokenizer), files.tensors()
        sizes = UMT5Sizes.of(tensors, files.folder)
        model = fill(lambda: _build(sizes), tensors, files.folder, "UMT5", "Download the folder again.")
        return cls(model, tokenizer, files.fingerprint(dtype), device=device, dtype=dtype, arithmetic=arithmetic)

    @torch.no_grad()
    def __call__(self, texts: list[str], checkpoint: Checkpoint = lambda fraction: None) -> Tensor:
        """Encode texts to b 512 text_dim: through every layer one by one, so that a batch does not change an embedding.

        Without padding there is nothing to mask. Up to rounding the values are those of a padded and masked text (Wan's
        way), in a fraction of the time.

        Args:
            texts: Texts.
            checkpoint: Called before every product of a weight and a text. It may wait, or raise to give up.
        """
        hidden, layers = [self._embed(text) for text in texts], len(self.stream.layers)
        with self._turn:
            for done, weights in enumerate(self.stream):
                self._layer.load_state_dict(weights, assign=True)
                for i, x in enumerate(hidden):
                    self._before_product = partial(checkpoint, (done + i / len(hidden)) / layers)
                    hidden[i] = self._stack(inputs_embeds=x).last_hidden_state  # 1 tokens text_dim
        rows = torch.zeros(len(texts), TEXT_LEN, self.text_dim, dtype=self.dtype, device=self.device)
        for i, x in enumerate(hidden):
            rows[i, : x.shape[1]] = self._norm(x)[0]
        return rows

    def _embed(self, text: str) -> Tensor:
        """Return the token embeddings of a text, 1 tokens text_dim, read from the mapped table."""
        ids = torch.tensor([self.tokenizer.encode(clean_text(text)).ids])
        return F.embedding(ids, self._table).to(self.dtype).to(self.device, self._arithmetic)

    def _prepare(self, name: str, weight: Tensor) -> Tensor:
        """Round a weight of a layer to the dtype of the weights; biases of the attention are no linear layer's."""
        if self._eight_bits and weight.ndim == 2 and "relative_attention_bias" not in name:
            return round_to_8_bits(weight)
        return weight.to(self.dtype)


def sentence_on_cut(tokenizer: Tokenizer, text: str) -> str | None:
    """Return a sentence on where a text is cut because it has more than 512 tokens; None if it is whole.

    Args:
        tokenizer: Tokenizer from `load_tokenizer`.
        text: The text as it was typed.
    """
    clean = clean_text(text)
    kept = tokenizer.encode(clean)
    surplus = sum(part.special_tokens_mask.count(0) for part in kept.overflowing)
    if not surplus:
        return None
    end = max(stop for _, stop in kept.offsets)
    before, after = clean[max(0, end - QUOTED) : end], clean[end : end + QUOTED]
    return (
        f"The prompt is too long and is cut: it has {TEXT_LEN - 1 + surplus} tokens, the text encoder reads the first "
        f"{TEXT_LEN - 1}. It ends after '...{before}', without '{after.strip()}...'."
    )


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


def load_tokenizer(path: Path) -> Tokenizer:
    """Read UMT5's tokenizer and let it truncate to 512 tokens; WeightsError when it is another's."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise WeightsError(f"{path}: not a tokenizer ({error}). Download it again.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(TEXT_LEN)
    if tokenizer.encode("a").tokens[-1:] != [END]:
        raise WeightsError(f"{path}: expected UMT5's tokenizer, which ends every text with {END}.")
    return tokenizer
