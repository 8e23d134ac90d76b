"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write a temporary file beside `path` and rename it: a reader finds the old file or the new one, never a part.

    Args:
        path: Final path of the file. Missing folders are made.
        content: The bytes, or a function that writes a file at the path it receives.

    Raises:
        OSError: The file cannot be written. The previous file stays, and no temporary file remains. Whatever `content`
            raises passes through in the same way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            content(part)
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
