"""Processes that were forked: torch computes there with one thread.

OpenMP's worker threads do not survive a fork. If the parent has computed with two threads, the first computation with
two threads in the child waits for them without end.
"""

from __future__ import annotations

import logging
import multiprocessing
import os

import torch

logger = logging.getLogger(__name__)

_IMPORTED_BY = os.getpid()


def limit_threads() -> None:
    """Set torch to one thread if this process was forked.

    A process that should compute with more threads has to be started by "spawn" or "forkserver".
    """
    if torch.get_num_threads() > 1 and is_forked():
        logger.info("torch uses one thread in a forked process; start the process by spawn if it should use more")
        torch.set_num_threads(1)


def is_forked() -> bool:
    """Return whether this process was forked: after this module was imported, or by multiprocessing at any time."""
    if os.getpid() != _IMPORTED_BY:
        return True
    if multiprocessing.parent_process() is None:
        return False
    process = multiprocessing.current_process()
    if type(process) is multiprocessing.Process:  # of the default start method, not of a context's
        return multiprocessing.get_start_method() == "fork"
    return type(process).__name__ == "ForkProcess"  # a class that Windows lacks
