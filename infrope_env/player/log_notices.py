"""Log lines of the package as notices of the window, for players who do not see the terminal."""

from __future__ import annotations

import logging
from typing import Self

PACKAGE = "infrope_env"
WAITING = "infrope_env.text.progress"
"""Logger of the prompts that play waits for; of the others, only warnings are shown."""


class LogNotices(logging.Handler):
    """Keeps the newest warning of the package, or progress of a prompt that play waits for, while it is a context."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: str | None = None

    def __enter__(self) -> Self:
        """Begin to listen, to all threads."""
        logger = logging.getLogger(PACKAGE)
        self._level = logger.level
        logger.addHandler(self)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop listening."""
        logger = logging.getLogger(PACKAGE)
        logger.removeHandler(self)
        logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record."""
        if record.levelno >= logging.WARNING or record.name == WAITING:
            self._newest = record.getMessage()

    def take(self) -> str | None:
        """Return the newest message, once; None if there is no new one."""
        newest, self._newest = self._newest, None
        return newest
