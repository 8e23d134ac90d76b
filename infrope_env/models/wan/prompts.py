"""The text encoder, and all prompts of an action set encoded before the generator needs the memory.

UMT5-XXL is larger than the generator. It is loaded once, used, and released; its embeddings are kept on disk, so later
runs with the same action set never load it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import lru_cache

from infrope_env.errors import WeightsError
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import TEXT
from infrope_env.text.lazy import AUTO, REFUSE, AbsentTextEncoder, LazyTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId, default_folder

LOG_EVERY_S = 5.0

WanTextEncoder = LazyTextEncoder | AbsentTextEncoder

logger = logging.getLogger(__name__)
_lazy_encoder = lru_cache(maxsize=4)(LazyTextEncoder)  # one per folder, device and dtype: models are cached by it


def find_text_encoder(files: WanFiles, device: str | None, dtype: str | None) -> WanTextEncoder:
    """Return UMT5, not loaded yet, or, without its files, a stand-in for the embeddings that it left.

    Device and dtype are those of `LazyTextEncoder`, by default "auto" and "bfloat16". WeightsError where there is
    neither encoder nor embedding, or the encoder's files are damaged.
    """
    try:
        if files.text is not None:
            return _lazy_encoder(files.text, device=device or AUTO, dtype=dtype or "bfloat16")
        return AbsentTextEncoder.of(default_folder())
    except WeightsError as error:
        if files.text is not None:
            raise WeightsError(f"{error} ('infrope weights {TEXT.name} --download' gets all of it.)") from error
        expected = f"{TEXT.files[0]} with {TEXT.files[1]}, or text_encoder/ with tokenizer/"
        raise WeightsError(
            f"No text encoder in {files.places}: expected {expected}. Run 'infrope weights {TEXT.name} --download' "
            f"({TEXT.disk_bytes / 1e9:.1f} GB)."
        ) from error


def encode_ahead(encoder: WanTextEncoder, texts: Iterable[str]) -> None:
    """Keep the embeddings of texts on disk, then release the encoder.

    An absent or refusing encoder encodes nothing: a text without an embedding is refused when it is played.
    """
    if isinstance(encoder, AbsentTextEncoder) or encoder.device == REFUSE:
        return
    due_s = 0.0

    def report(done: int, total: int) -> None:  # the first, the last, and one every few seconds
        nonlocal due_s
        if done == total or time.monotonic() >= due_s:
            logger.info("encoding prompts: %d of %d", done, total)
            due_s = time.monotonic() + LOG_EVERY_S

    encoder_id, folder = EncoderId.of(encoder), default_folder()
    missing = [text for text in dict.fromkeys(texts) if not encoder_id.path_of(folder, text).is_file()]
    if missing:
        PromptCache(encoder, folder).encode_all(missing, report)
