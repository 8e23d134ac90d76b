"""The text encoder, and the prompts that are encoded before the generator needs the memory.

UMT5-XXL is larger than the generator. Its embeddings are kept on disk, so later runs with the same action set never
open it. Play begins once the start prompt is encoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from infrope_env.cache_dir import cache_dir
from infrope_env.control.actions import ActionSet
from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import ALIAS
from infrope_env.models.wan.parts import TEXT, find_parts, part_folders
from infrope_env.text.lazy import AUTO, AbsentTextEncoder, LazyTextEncoder
from infrope_env.text.progress import EncodingProgress
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import EncoderId, default_folder

PATIENCE_S = 60.0  # that play waits for prompts besides its first one

WanTextEncoder = LazyTextEncoder | AbsentTextEncoder

_lazy_encoder = lru_cache(maxsize=4)(LazyTextEncoder)  # one per folder, device and dtype: models are cached by it


def find_text_encoder(folder: Path | None, places: str, device: str | None, dtype: str | None) -> WanTextEncoder:
    """Return UMT5, not loaded yet, or, without its files, a stand-in for the embeddings that it left.

    Args:
        folder: Folder of the text encoder; None where there is none.
        places: The searched folders in words, for errors.
        device: As in `LazyTextEncoder`; None means "auto".
        dtype: As in `LazyTextEncoder`; None means "bfloat16".

    Raises:
        WeightsError: There is neither encoder nor embedding, or the encoder's files are damaged.
    """
    try:
        if folder is not None:
            return _lazy_encoder(folder, device=device or AUTO, dtype=dtype or "bfloat16")
        return AbsentTextEncoder.of(default_folder())
    except WeightsError as error:
        if folder is not None:
            raise WeightsError(f"{error} ('infrope weights {TEXT.name} --download' gets all of it.)") from error
        expected = f"{TEXT.files[0]} with {TEXT.files[1]}, or text_encoder/ with tokenizer/"
        raise WeightsError(
            f"No text encoder in {places}: expected {expected}. Run 'infrope weights {TEXT.name} --download' "
            f"({TEXT.disk_bytes / 1e9:.1f} GB)."
        ) from error


def encode_ahead(encoder: WanTextEncoder, texts: Iterable[str], *, patience_s: float = PATIENCE_S) -> None:
    """Keep the embedding of the first text on disk, and on a GPU those of the others too, then release the encoder.

    On a GPU hundreds of prompts take a minute, before the generator needs the memory. What is left is encoded while the
    world plays, or when it is used. An absent or refusing encoder encodes nothing: a text without an embedding is
    refused when it is played.

    Args:
        encoder: Encoder from `find_text_encoder`.
        texts: Texts, the one that play begins with first.
        patience_s: Seconds after which no further batch is begun.
    """
    if not isinstance(encoder, LazyTextEncoder) or not encoder.available:
        return
    wanted = list(dict.fromkeys(texts))
    first, others = wanted[:1], missing_texts(encoder, wanted[1:]) if encoder.on_gpu else []
    cache = PromptCache(encoder, default_folder(), keep_encoder=True)
    size, began_s = encoder.batch_size, time.monotonic()
    progress = EncodingProgress()
    try:
        cache.encode_all(missing_texts(encoder, first))
        for done in range(0, len(others), size):
            if time.monotonic() - began_s > patience_s:
                return
            part = partial(_report_part, progress, done, len(others))
            cache.encode_all(others[done : done + size], report=part)
    finally:
        encoder.release()


def encode_action_set(encoder: WanTextEncoder, actions: str) -> Iterator[str]:
    """Keep the embeddings of all prompts of an action set on disk, and yield lines about it.

    What is on disk already is not encoded again, so the command can be interrupted and repeated.

    Args:
        encoder: Encoder from `find_text_encoder`.
        actions: A bundled action set, or the path of a TOML file.

    Raises:
        ValueError: There is no such action set, or no encoder for its missing prompts.
    """
    texts = ActionSet.load(actions).prompts()
    missing = missing_texts(encoder, texts)
    folder = EncoderId.of(encoder).path_of(default_folder(), "").parent
    kept = len(texts) - len(missing)
    yield f"{len(texts)} prompts of the action set {actions}: {kept} are encoded, {len(missing)} are not yet"
    PromptCache(encoder, default_folder()).encode_all(missing)
    if missing and (left := missing_texts(encoder, texts)):
        raise WeightsError(f"{len(left)} of {len(texts)} embeddings could not be kept in {folder}. Make room there.")
    yield str(folder)
    yield (
        "To play these prompts elsewhere without the text encoder, copy this folder into prompts/ of that machine's "
        f"cache folder (here {cache_dir()}; INFROPE_CACHE names another)."
    )


def encode_command(name: str | None, actions: tuple[str, ...]) -> Iterator[str]:
    """Run `infrope weights NAME --encode [ACTIONS ...]` and yield its output.

    Args:
        name: "wan", or a folder that holds the text encoder.
        actions: Action sets as in `encode_action_set`; none means "wan".

    Raises:
        ValueError: There is no such folder, text encoder or action set.
    """
    beside = [] if name in (None, ALIAS, TEXT.name) else [Path(str(name)).expanduser()]
    if any(not folder.is_dir() for folder in beside):
        raise WeightsError(f"--encode needs {ALIAS!r}, or a folder with the text encoder, got {name!r}.")
    folders = [*beside, *part_folders()]
    text = find_parts(folders).get(TEXT.name)
    encoder = find_text_encoder(text, " and ".join(map(str, folders[:2])), None, None)
    for action_set in actions or (ALIAS,):
        yield from encode_action_set(encoder, action_set)


def missing_texts(encoder: WanTextEncoder, texts: Iterable[str]) -> list[str]:
    """Return the texts without an embedding on disk, each once."""
    encoder_id, folder = EncoderId.of(encoder), default_folder()
    return [text for text in dict.fromkeys(texts) if not encoder_id.path_of(folder, text).is_file()]


def _report_part(progress: EncodingProgress, before: int, total: int, done: float, _: int) -> None:
    progress.report(before + done, total)
