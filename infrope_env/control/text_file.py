"""Text files that people have: bounded in size, in UTF-8 or UTF-16 with any line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

from infrope_env.regular_file import MEGABYTE, read_regular

MOST_BYTES = MEGABYTE
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
ODD_SEPARATORS = dict.fromkeys(map(ord, "\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " ") | {0xFEFF: None}
"""Characters that some readers take for the end of a line and others do not; a mark of the byte order is dropped."""


def read_text(path: Path) -> str:
    r"""Return the text of a file, with "\n" between lines and nothing else that ends one.

    Raises:
        ValueError: It cannot be read or is not text; the message begins with the path.
    """
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8: {error}") from error
    if "\0" in text:
        raise ValueError(f"{path}: expected text in UTF-8, got null characters. Save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(ODD_SEPARATORS)
