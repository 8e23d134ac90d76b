"""Text encoders that are not in memory: one that is loaded when it is needed, and one that is not there at all.

Both are known by name and size without their weights, so that embeddings kept on disk serve in their place.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.prompt_files import stored_encoders
from infrope_env.text.umt5 import DTYPES, TEXT_LEN, UMT5TextEncoder, check_dtype
from infrope_env.text.umt5_files import DOWNLOAD, TextEncoderError, UMT5Files, UMT5Sizes

AUTO, REFUSE = "auto", "refuse"
ROOM = 1.2  # of the weights' own size: what encoding takes besides


class LazyTextEncoder:
    """UMT5-XXL on call: known by its files, loaded when a text is to be encoded, gone after `release`.

    Attributes:
        fingerprint: the same as the loaded encoder's.
    """

    text_len = TEXT_LEN

    def __init__(self, folder: str | Path, *, device: str = AUTO, dtype: str = "bfloat16") -> None:
        """Look at the files and load nothing.

        Args:
            folder: as in `UMT5TextEncoder.from_folder`.
            device: where to encode: "auto" is the GPU if the weights fit into what is free of it at that moment, else
                the CPU; "refuse" never loads, so that a text which is not kept on disk is refused.
            dtype: as in `UMT5TextEncoder.from_folder`.

        Raises:
            TextEncoderError: files are missing or damaged, or not UMT5's.
            ValueError: an unknown dtype.
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
        """The weights are in memory."""
        return self._encoder is not None

    def __call__(self, texts: list[str]) -> Tensor:
        """Embeddings [b, 512, text_dim]; loads the weights if they are not in memory.

        Raises:
            TextEncoderAbsent: the device is "refuse".
        """
        if self.device == REFUSE:
            reason = "the text encoder is switched off (its device is 'refuse')"
            raise TextEncoderAbsent(texts, reason, "Take a prompt used before, or 'cpu', 'cuda' or 'auto'.")
        if self._encoder is None:
            device = pick_device(self._bytes) if self.device == AUTO else self.device
            self._encoder = UMT5TextEncoder.from_folder(self.folder, device=device, dtype=self.dtype)
        return self._encoder(texts)

    def release(self) -> None:
        """Let the weights go; the next text loads them again."""
        self._encoder = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class AbsentTextEncoder:
    """An encoder of which only the embeddings are left: every new text is refused.

    Two that stand in for one encoder are equal, so that what is loaded for the one serves the other.

    Attributes:
        folder: where the embeddings are.
        fingerprint, text_len, text_dim: of the encoder that made them.
    """

    folder: Path
    fingerprint: str
    text_len: int
    text_dim: int

    @classmethod
    def of(cls, folder: Path, fingerprint: str | None = None) -> AbsentTextEncoder:
        """Stand in for the encoder of a bank's folder.

        Args:
            folder: as given to `PromptCache`.
            fingerprint: which encoder, or how its fingerprint begins; None takes the one that added the newest text.

        Raises:
            TextEncoderError: there is not one embedding.
        """
        kept = [encoder for encoder in stored_encoders(folder) if encoder.fingerprint.startswith(fingerprint or "")]
        if not kept:
            whose = f" of the encoder {fingerprint}" if fingerprint else ""
            raise TextEncoderError(f"{folder} has no embeddings{whose}: prompts must be encoded once with {DOWNLOAD}.")
        newest = kept[0]
        return cls(folder, newest.fingerprint, newest.text_len, newest.text_dim)

    def __call__(self, texts: list[str]) -> Tensor:
        """Refuse: TextEncoderAbsent."""
        reason = f"{self.folder} has embeddings but no text encoder"
        raise TextEncoderAbsent(texts, reason, f"Take a prompt used before, or the text encoder of {DOWNLOAD}.")


def bytes_needed(tensors: dict[str, Tensor], dtype: str) -> int:
    """Memory for UMT5's weights, by their names in `transformers`: the XXL takes 11.4e9 in bfloat16, 6.7e9 in int8."""
    wide = DTYPES[dtype].itemsize
    inside = 1 if dtype == "int8" else wide
    counts = {name: tensor.numel() for name, tensor in tensors.items() if name != "encoder.embed_tokens.weight"}
    return sum(count * (inside if ".block." in name else wide) for name, count in counts.items())


def pick_device(needed_bytes: int) -> str:
    """The GPU when that much, and some room, is free on it, else the CPU."""
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
    return "cuda" if free > ROOM * needed_bytes else "cpu"
