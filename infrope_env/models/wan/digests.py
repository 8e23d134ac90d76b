"""Sha256 of big files: taken from the hub where it gave one, else computed once and remembered by size and time."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from pathlib import Path

from infrope_env.cache_dir import cache_dir
from infrope_env.models.tensor_files import sha256_of
from infrope_env.models.wan.hub import known_sha256

REMEMBERED = "digests.json"
BIG = 500_000_000  # bytes; below, nobody waits


def digest_of(path: Path) -> str:
    """Hex digest of a file; reading a big one is announced on stderr, and done once while the file stays as it is."""
    known = known_sha256(path)
    if known is not None:
        return known
    stat, key, remembered = path.stat(), str(path.resolve()), _recall()
    size_and_time = [stat.st_size, stat.st_mtime_ns]
    if remembered.get(key, [])[:2] == size_and_time:
        return str(remembered[key][2])
    if stat.st_size >= BIG:
        print(f"infrope: reading {path} ({stat.st_size / 1e9:.1f} GB) for its sha256, once", file=sys.stderr)
    digest = sha256_of(path)
    _remember(_recall() | {key: [*size_and_time, digest]})
    return digest


def _recall() -> dict[str, list[int | str]]:
    try:
        content = json.loads((cache_dir() / REMEMBERED).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(content: dict[str, list[int | str]]) -> None:
    """Replace the file whole; where the disk refuses, the digest is computed again the next time."""
    path = cache_dir() / REMEMBERED
    part = path.with_name(f"{REMEMBERED}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
