"""Sha256 of big files: from the hub where it gave one, else computed once and kept with the file's size and time."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from infrope_env.cache_dir import cache_dir
from infrope_env.models.wan.hub import known_sha256
from infrope_env.models.wan.store import read_json, write_json
from infrope_env.tensor_files import sha256_of

BIG_BYTES = 500_000_000  # a smaller file is read in an instant

logger = logging.getLogger(__name__)


def digest_of(path: Path) -> str:
    """Return the hex digest of a file, which is read once while its size and time stay as they are."""
    if known := known_sha256(path):
        return known
    table, stat, key = cache_dir() / "digests.json", path.stat(), str(path.resolve())
    size_and_time = [stat.st_size, stat.st_mtime_ns]
    kept = read_json(table).get(key, [])
    if kept[:2] == size_and_time:
        return str(kept[2])
    if stat.st_size >= BIG_BYTES:
        logger.info("reading %s (%.1f GB) for its sha256, once", path, stat.st_size / 1e9)
    digest = sha256_of(path)
    with contextlib.suppress(OSError):  # without a place to keep it, the digest is computed again next time
        write_json(table, read_json(table) | {key: [*size_and_time, digest]})
    return digest
