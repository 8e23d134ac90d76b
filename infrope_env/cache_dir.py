"""The cache folder: downloads, converted weights, embeddings and compiled code, all of which can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return `$INFROPE_CACHE`, else `infrope` in `$XDG_CACHE_HOME`, else `~/.cache/infrope`. It may not exist."""
    own, shared = os.environ.get("INFROPE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or "~/.cache") / "infrope").expanduser()
