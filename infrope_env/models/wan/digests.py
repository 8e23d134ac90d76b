"""Sha256 of big files: from the hub where it gave one, else computed once and kept with the file's size and time."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.models.wan.hub import known_sha256
from infrope_env.tensor_files import sha256_of

DIGESTS = "digests.json"
BIG_BYTES = 500_000_000  # a smaller file is read in an instant

logger = logging.getLogger(__name__)


def digest_of(path: Path) -> str:
    """Return the hex digest of a file, which is read once while its size and time stay as they are."""
    known = known_sha256(path)
    if known is not None:
        return known
    stat, key = path.stat(), str(path.resolve())
    size_and_time = [stat.st_size, stat.st_mtime_ns]
    kept = _kept_digests().get(key, [])
    if kept[:2] == size_and_time:
        return str(kept[2])
    if stat.st_size >= BIG_BYTES:
        logger.info("reading %s (%.1f GB) for its sha256, once", path, stat.st_size / 1e9)
    digest = sha256_of(path)
    content = _kept_digests() | {key: [*size_and_time, digest]}
    with contextlib.suppress(OSError):  # without a place to keep it, the digest is computed again next time
        write_atomically(cache_dir() / DIGESTS, (json.dumps(content, indent=2) + "\n").encode())
    return digest


def _kept_digests() -> dict[str, list[int | str]]:
    try:
        content = json.loads((cache_dir() / DIGESTS).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
