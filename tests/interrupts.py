"""Ctrl-C before a chosen line of the package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def count_lines(folder: Path, stop_at: int | None = None) -> Iterator[list[int]]:
    """Count the lines of the files in a folder that run; raise KeyboardInterrupt before line number `stop_at`."""
    ran = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(str(folder)):
            return None
        if event == "line":
            ran[0] += 1
            if ran[0] == stop_at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield ran
    finally:
        sys.settrace(before)
