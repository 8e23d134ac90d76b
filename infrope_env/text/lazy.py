"""Text encoders without weights in memory: one loads them when a text needs them, one stands in for missing files.

Both have the encoder's fingerprint and sizes, which is enough to use embeddings on disk.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.prompt_files import stored_encoders
from infrope_env.text.umt5 import DTYPES, TEXT_LEN, UMT5TextEncoder, check_dtype
from infrope_env.text.umt5_files import DOWNLOAD, UMT5Files, UMT5Sizes

AUTO, REFUSE = "auto", "refuse"
HEADROOM = 1.2  # free memory that encoding needs, as a multiple of the size of the weights


class LazyTextEncoder:
    """UMT5-XXL on demand: loaded when a text is to be encoded, unloaded by `release`.

    Attributes:
        text_len: Rows of every embedding.
        text_dim: Width of every row.
        fingerprint: The same as the loaded encoder's.
    """

    text_len = TEXT_LEN

    def __init__(self, folder: str | Path, *, device: str = AUTO, dtype: str = "bfloat16") -> None:
        """Read fingerprint and sizes from the files; load no weights.

        Args:
            folder: As in `UMT5TextEncoder.from_folder`.
            device: Device to encode on. "auto" is the GPU if the weights fit into its free memory when they are loaded,
                else the CPU. "refuse" never loads the weights: a text without an embedding on disk is refused.
            dtype: As in `UMT5TextEncoder.from_folder`.

        Raises:
            WeightsError: Files are missing or damaged, or not UMT5's.
            ValueError: The dtype is unknown.
        """
        check_dtype(dtype)
        self.folder, self.device, self.dtype = Path(folder), device, dtype
        files = UMT5Files.find(folder)
        tensors = files.tensors()
        self.text_dim = UMT5Sizes.of(tensors, files.folder).d_model
        self.fingerprint = files.fingerprint(dtype)
        self._bytes = bytes_needed(tensors, dtype)
        self._encoder: UMT5TextEncoder | None = None

    @property
    def loaded(self) -> bool:
        """True while the weights are in memory."""
        return self._encoder is not None

    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts to b 512 text_dim; load the weights if they are not in memory.

        Raises:
            TextEncoderAbsent: The device is "refuse".
        """
        if self.device == REFUSE:
            reason = "the text encoder is switched off (its device is 'refuse')"
            raise TextEncoderAbsent(texts, reason, "Take a prompt used before, or 'cpu', 'cuda' or 'auto'.")
        encoder = self._encoder  # another thread may release it meanwhile
        if encoder is None:
            device = pick_device(self._bytes) if self.device == AUTO else self.device
            encoder = self._encoder = UMT5TextEncoder.from_folder(self.folder, device=device, dtype=self.dtype)
        return encoder(texts)

    def release(self) -> None:
        """Unload the weights; the next text loads them again."""
        self._encoder = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class AbsentTextEncoder:
    """Stand-in for an encoder whose files are missing but whose embeddings are on disk. It refuses every new text.

    Two stand-ins for one encoder are equal, so that the cache of loaded models treats them as one.

    Attributes:
        folder: Folder of the embeddings.
        fingerprint: Fingerprint of the encoder that made them.
        text_len: Rows of every embedding.
        text_dim: Width of every row.
    """

    folder: Path
    fingerprint: str
    text_len: int
    text_dim: int

    @classmethod
    def of(cls, folder: Path) -> AbsentTextEncoder:
        """Return the stand-in for the encoder of the newest embedding in the folder of a `PromptCache`.

        Raises:
            WeightsError: There is no embedding.
        """
        newest = next(iter(stored_encoders(folder)), None)
        if newest is None:
            raise WeightsError(f"{folder} has no embeddings: prompts must be encoded once with {DOWNLOAD}.")
        return cls(folder, newest.fingerprint, newest.text_len, newest.text_dim)

    def __call__(self, texts: list[str]) -> Tensor:
        """Raise TextEncoderAbsent."""
        reason = f"{self.folder} has embeddings but no text encoder"
        raise TextEncoderAbsent(texts, reason, f"Take a prompt used before, or the text encoder of {DOWNLOAD}.")


def bytes_needed(tensors: dict[str, Tensor], dtype: str) -> int:
    """Return the size of UMT5's weights in memory, in bytes: 11.4e9 for the XXL in bfloat16, 6.7e9 in int8."""
    wide = DTYPES[dtype].itemsize
    inside = 1 if dtype == "int8" else wide
    counts = {name: tensor.numel() for name, tensor in tensors.items() if name != "encoder.embed_tokens.weight"}
    return sum(count * (inside if ".block." in name else wide) for name, count in counts.items())


def pick_device(needed_bytes: int) -> str:
    """Return "cuda" when that much and some headroom is free on the GPU, else "cpu"."""
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
    return "cuda" if free > HEADROOM * needed_bytes else "cpu"
