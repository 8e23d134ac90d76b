"""The text encoder that there is, and all prompts of an action set encoded before anything else needs the memory.

UMT5-XXL is larger than the generator. Its embeddings are kept on disk, so it is loaded once, used, and let go; later
runs with the same action set never load it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import TEXT
from infrope_env.text.lazy import AUTO, REFUSE, AbsentTextEncoder, LazyTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId, default_folder
from infrope_env.text.umt5_files import TextEncoderError

WanTextEncoder = LazyTextEncoder | AbsentTextEncoder


def find_text_encoder(files: WanFiles, device: str = AUTO, dtype: str = "bfloat16") -> WanTextEncoder:
    """UMT5 on call, or, without its files, the embeddings that it left.

    Args:
        files: where to look.
        device: where to encode: "auto", "cpu", "cuda", or "refuse", see `LazyTextEncoder`.
        dtype: "bfloat16", "float32" or "int8".

    Raises:
        WeightsError: there is neither encoder nor embedding, or the encoder's files are damaged.
    """
    try:
        if files.text is not None:
            return _lazy(files.text, device, dtype)
        return AbsentTextEncoder.of(default_folder())
    except TextEncoderError as error:
        if files.text is not None:
            raise WeightsError(f"{error} ('infrope weights {TEXT.name} --download' gets all of it.)") from error
        expected = f"{TEXT.files[0]} with {TEXT.files[1]}, or text_encoder/ with tokenizer/"
        raise WeightsError(
            f"No text encoder in {files.places}: expected {expected}. Run 'infrope weights {TEXT.name} --download' "
            f"({TEXT.disk_bytes / 1e9:.1f} GB)."
        ) from error


def encode_ahead(encoder: WanTextEncoder, texts: Iterable[str]) -> int:
    """Keep the embeddings of texts on disk, then let the encoder go; returns how many had to be encoded.

    An encoder that is absent or switched off keeps nothing: its texts are refused when they are asked for.
    """
    if isinstance(encoder, AbsentTextEncoder) or encoder.device == REFUSE:
        return 0
    encoder_id, folder = EncoderId.of(encoder), default_folder()
    missing = [text for text in dict.fromkeys(texts) if not encoder_id.path_of(folder, text).is_file()]
    if missing:
        PromptCache(encoder, folder).encode_all(missing, _report)
    return len(missing)


@lru_cache(maxsize=4)
def _lazy(folder: Path, device: str, dtype: str) -> LazyTextEncoder:
    return LazyTextEncoder(folder, device=device, dtype=dtype)


def _report(done: int, total: int) -> None:
    """A line on stderr that counts; what is done stays done when it is interrupted."""
    end = "\n" if done == total else ""
    print(f"\rinfrope: encoding prompts, once: {done} of {total}", end=end, file=sys.stderr, flush=True)
