"""Where everything is kept that can be had again: released weights by name, embeddings, compiled code."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`$INFROPE_CACHE`, else `infrope` in `$XDG_CACHE_HOME`, else `~/.cache/infrope`."""
    own, shared = os.environ.get("INFROPE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or "~/.cache") / "infrope").expanduser()
