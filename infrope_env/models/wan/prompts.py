"""The text encoder, and all prompts of an action set encoded before the generator needs the memory.

UMT5-XXL is larger than the generator. It is loaded once, used, and released; its embeddings are kept on disk, so later
runs with the same action set never load it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import TEXT
from infrope_env.text.lazy import AUTO, REFUSE, AbsentTextEncoder, LazyTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId, default_folder

LOG_EVERY_S = 5.0

WanTextEncoder = LazyTextEncoder | AbsentTextEncoder

logger = logging.getLogger(__name__)


def find_text_encoder(files: WanFiles, device: str | None = None, dtype: str | None = None) -> WanTextEncoder:
    """Return UMT5, not loaded yet, or, without its files, a stand-in for the embeddings that it left.

    Args:
        files: Paths of all parts.
        device: Where to encode: "auto" (the default), "cpu", "cuda", or "refuse", see `LazyTextEncoder`.
        dtype: "bfloat16" (the default), "float32" or "int8".

    Raises:
        WeightsError: There is neither encoder nor embedding, or the encoder's files are damaged.
    """
    try:
        if files.text is not None:
            return _lazy(files.text, device or AUTO, dtype or "bfloat16")
        return AbsentTextEncoder.of(default_folder())
    except WeightsError as error:
        if files.text is not None:
            raise WeightsError(f"{error} ('infrope weights {TEXT.name} --download' gets all of it.)") from error
        expected = f"{TEXT.files[0]} with {TEXT.files[1]}, or text_encoder/ with tokenizer/"
        raise WeightsError(
            f"No text encoder in {files.places}: expected {expected}. Run 'infrope weights {TEXT.name} --download' "
            f"({TEXT.disk_bytes / 1e9:.1f} GB)."
        ) from error


def encode_ahead(encoder: WanTextEncoder, texts: Iterable[str]) -> int:
    """Keep the embeddings of texts on disk, then release the encoder; return how many it had to encode.

    An absent or refusing encoder encodes nothing: a text without an embedding is refused when it is played.
    """
    if isinstance(encoder, AbsentTextEncoder) or encoder.device == REFUSE:
        return 0
    encoder_id, folder = EncoderId.of(encoder), default_folder()
    missing = [text for text in dict.fromkeys(texts) if not encoder_id.path_of(folder, text).is_file()]
    if missing:
        PromptCache(encoder, folder).encode_all(missing, _Progress())
    return len(missing)


class _Progress:
    """Logs the count of encoded prompts: the first, the last, and one every few seconds."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() >= self._due_s:
            logger.info("encoding prompts: %d of %d", done, total)
            self._due_s = time.monotonic() + LOG_EVERY_S


@lru_cache(maxsize=4)
def _lazy(folder: Path, device: str, dtype: str) -> LazyTextEncoder:
    return LazyTextEncoder(folder, device=device, dtype=dtype)
