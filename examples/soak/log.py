"""Measurements of a long run, by group of blocks. Only finished groups are kept, so the log itself stays small."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import psutil

from examples.soak.trend import Trend

MEGABYTE = 1e6


@dataclass(frozen=True)
class Sample:
    """The cost of one block.

    Attributes:
        block_ms: Time of the block.
        cpu_ms: Processor time of the block.
        memory_mb: Resident memory of the process after the block, free heap included.
        files: Open file descriptors; on Windows, handles.
        threads: Threads of the process.
    """

    block_ms: float
    cpu_ms: float
    memory_mb: float
    files: int
    threads: int

    @classmethod
    def of(cls, block_s: float, cpu_s: float, process: psutil.Process) -> Sample:
        """Measure the process after a block that took so many seconds."""
        files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        memory = process.memory_info().rss / MEGABYTE
        return cls(1000 * block_s, 1000 * cpu_s, memory, files, process.num_threads())


@dataclass(frozen=True)
class Group:
    """A number of blocks in a row.

    Attributes:
        blocks: Blocks made until its end, since the start.
        p50_ms, p95_ms: Percentiles of the time of a block.
        cpu_ms: Median of the processor time of a block.
        fastest_ms: The least processor time of a block, which other processes lengthen least.
        memory_mb: Median of the memory.
        in_use_mb: Memory at the end, when garbage and the free heap have been returned to the system.
        files, threads: The most at any block.
        operations: How often each operation was done.
    """

    blocks: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    fastest_ms: float
    memory_mb: float
    in_use_mb: float
    files: int
    threads: int
    operations: dict[str, int]

    @classmethod
    def of(cls, blocks: int, samples: list[Sample], operations: Counter[str]) -> Group:
        """Summarize the samples of a group, right after its last block."""
        p50, p95 = np.percentile([sample.block_ms for sample in samples], (50, 95))
        return cls(
            blocks,
            round(float(p50), 2),
            round(float(p95), 2),
            round(float(np.median([sample.cpu_ms for sample in samples])), 2),
            round(min(sample.cpu_ms for sample in samples), 2),
            round(float(np.median([sample.memory_mb for sample in samples])), 3),
            round(memory_in_use_mb(), 3),
            max(sample.files for sample in samples),
            max(sample.threads for sample in samples),
            dict(operations),
        )

    def row(self) -> str:
        """Return the group as a line of the table."""
        times = f"{self.p50_ms:>9.1f}{self.p95_ms:>9.1f}{self.cpu_ms:>9.1f}{self.fastest_ms:>12.1f}"
        return f"{self.blocks:>8}{times}{self.memory_mb:>11.1f}{self.in_use_mb:>11.1f}{self.files:>7}{self.threads:>9}"


def memory_in_use_mb() -> float:
    """Return the resident memory without garbage and, with glibc, without the free heap.

    Saved states are megabytes that come and go; the heap that they leave free makes the resident memory wander.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return psutil.Process().memory_info().rss / MEGABYTE


HEADER = (
    f"{'blocks':>8}{'p50 ms':>9}{'p95 ms':>9}{'cpu ms':>9}{'fastest ms':>12}"
    f"{'memory MB':>11}{'in use MB':>11}{'files':>7}{'threads':>9}"
)


@dataclass(frozen=True)
class Tolerances:
    """Growth over 1,000 blocks that counts as none.

    Attributes:
        memory_mb: Of the memory in use.
        time_share: Of the least processor time of a block, as a share of its median.
        count: Of open files and of threads.
    """

    memory_mb: float = 2.0
    time_share: float = 0.05
    count: float = 0.5


def trends(groups: list[Group], warm_up_blocks: int, tolerances: Tolerances) -> dict[str, Trend]:
    """Return the growth of every quantity after the warm-up."""
    steady = [group for group in groups if group.blocks > warm_up_blocks]
    blocks = [group.blocks for group in steady]
    typical_ms = float(np.median([group.fastest_ms for group in steady])) if steady else 0.0

    def fit(name: str, tolerance: float) -> Trend:
        return Trend.of(blocks, [getattr(group, name) for group in steady], tolerance)

    return {
        "in_use_mb": fit("in_use_mb", tolerances.memory_mb),
        "fastest_ms": fit("fastest_ms", tolerances.time_share * typical_ms),
        "files": fit("files", tolerances.count),
        "threads": fit("threads", tolerances.count),
    }
