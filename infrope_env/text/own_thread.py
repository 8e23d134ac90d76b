"""Threads that compute with a number of torch threads and a priority of their own.

torch keeps the number of threads per thread: a program that generates with one thread goes on with one while another
thread encodes with all. `torch.set_num_threads` also sets the number for threads that begin later, so it is put back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import torch

from infrope_env.forked import is_forked

T = TypeVar("T")
NICENESS = 10  # of background work: about a tenth of the share of a thread that wants the same processor
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of processor time, and of the period

_setting = threading.Lock()  # held while the number of threads for later threads is another than before


def processors() -> int:
    """Return the number of processors that this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        usable = min(usable, round(int(quota) / int(period)))
    except (OSError, ValueError):  # no container, or no quota: "max"
        pass
    return max(1, usable)


def start_thread(task: Callable[[], T], *, threads: int, background: bool = False, name: str) -> Future[T]:
    """Start a task in a daemon thread that computes with `threads` torch threads; one in a forked process.

    Args:
        task: Function to run.
        threads: Number of torch threads of this thread alone.
        background: Whether the thread has a low priority, with all threads that it starts. Only Linux has that.
        name: Name of the thread.

    Returns:
        Future of the task's result.
    """
    future: Future[T] = Future()
    ready = threading.Event()

    def run() -> None:
        try:
            try:
                if background and sys.platform == "linux":
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
                torch.get_num_threads()  # torch's first question in a thread takes over the number for new threads
                torch.set_num_threads(1 if is_forked() else threads)
            finally:
                ready.set()
            future.set_result(task())
        except BaseException as error:  # raised again by whoever asks for the result
            future.set_exception(error)

    with _setting:
        before = torch.get_num_threads()
        threading.Thread(target=run, name=name, daemon=True).start()
        ready.wait()
        torch.set_num_threads(before)  # for this thread, which had it, and those that begin later
    return future
