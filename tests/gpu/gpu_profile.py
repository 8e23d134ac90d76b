"""Kernels, launches and idle time of a GPU while it makes blocks, from torch's profiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
COPIES = ("Memcpy", "Memset")
ATTENTION = ("flash", "fmha", "cudnn_generated", "attention", "sdp")
"""Parts of the names of attention's kernels; cuDNN's are cudnn_generated_fort_native_sdpa_..."""


@dataclass(frozen=True)
class Interval:
    """One piece of work of a device.

    Attributes:
        name: Name of the kernel or copy.
        start_us: Begin, in microseconds.
        end_us: End.
    """

    name: str
    start_us: float
    end_us: float


def profile_blocks(make_block: Callable[[], object], blocks: int, device: torch.device) -> dict[str, object]:
    """Return what a device does while it makes blocks, which are warm and of one shape.

    Idle time is taken from a second run without the host's operators, whose recording would delay the launches.

    Returns:
        "kernels" and "launches" per block, a graph being one launch; "idle_share" of the time from the first kernel to
        the end of the last; "attention": the longest kernels of attention. On a CPU, operators count as kernels.
    """
    on_gpu = device.type == "cuda"
    both = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    events = record(make_block, blocks, both)
    kernels = [each for each in work_of(events, on_gpu) if not each.name.startswith(COPIES)]
    launches = sum(event.device_type == DeviceType.CPU and event.name in LAUNCHES for event in events)
    alone = record(make_block, blocks, [ProfilerActivity.CUDA]) if on_gpu else events
    return {
        "kernels": round(len(kernels) / blocks),
        "launches": round(launches / blocks),
        "idle_share": round(idle_share(work_of(alone, on_gpu)), 4),
        "attention": attention_kernels(kernels),
    }


def record(
    make_block: Callable[[], object], blocks: int, activities: Sequence[ProfilerActivity]
) -> list[FunctionEvent]:
    """Return the profiler's events while blocks are made."""
    with profile(activities=activities) as profiler:
        for _ in range(blocks):
            make_block()
        if ProfilerActivity.CUDA in activities:
            torch.cuda.synchronize()
    return list(profiler.events() or ())


def work_of(events: Iterable[FunctionEvent], on_gpu: bool) -> list[Interval]:
    """Return the kernels and copies of a GPU, or the operators of a CPU; spans that only name others are left out."""
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    return [
        Interval(event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == wanted
        and not getattr(event, "is_user_annotation", False)
        and (on_gpu or event.name.startswith("aten::"))
    ]


def idle_share(work: Iterable[Interval]) -> float:
    """Return the share of the time from the first begin to the last end in which nothing runs; 0 without work."""
    ordered = sorted(work, key=lambda each: each.start_us)
    if not ordered or max(each.end_us for each in ordered) <= ordered[0].start_us:
        return 0.0
    idle, busy_until = 0.0, ordered[0].start_us
    for each in ordered:
        idle += max(0.0, each.start_us - busy_until)
        busy_until = max(busy_until, each.end_us)
    return idle / (busy_until - ordered[0].start_us)


def attention_kernels(kernels: Iterable[Interval], most: int = 3) -> list[str]:
    """Return the names of the attention kernels that take the most time, at most 80 letters of each."""
    took: Counter[str] = Counter()
    for each in kernels:
        if any(part in each.name.lower() for part in ATTENTION):
            took[each.name[:80]] += int(each.end_us - each.start_us)
    return [name for name, _ in took.most_common(most)]
