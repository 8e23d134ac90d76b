"""The table of a run, and the bars that it met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.gpu.arms import FP8, RELEASE

APART, BESIDE = "decoding, then the commit", "decoding beside the commit"
FRAMES_PER_BLOCK = 12
MOST_BLOCK_MS, LEAST_FRAMES_PER_S, LEAST_RATIO = 160.0, 70.0, 2.5
NOT_MEASURED = "not measured"
PROFILED = "window 6"
"""Part whose arms are profiled and have the bars."""

Found = Mapping[str, Any]
"""Findings by part, as `speed.py` writes them."""


def bars(found: Found) -> dict[str, dict[str, object]]:
    """Return the value of every bar and whether it is met; one whose part is missing is not measured.

    Time and ratio are those of the fastest arm whose numbers are the generator's own: fp8 does not count.
    """
    window = finding(found, PROFILED) or finding(found, f"{PROFILED}, plain")
    times = {name: millis_of(row, "block") for name, row in window.items()}
    own = {name: millis for name, millis in times.items() if millis and name not in (FP8, RELEASE)}
    block_ms = min(own.values(), default=None)
    release_ms = times.get(RELEASE)
    ends = finding(found, "end to end")
    rows = [row for name, row in entries(ends) if name not in (FP8, RELEASE)]
    frames_ms = [row[order]["p50"] for row in rows for order in (APART, BESIDE) if order in row]
    per_second = 1000 * FRAMES_PER_BLOCK / min(frames_ms) if frames_ms else None
    ratio = release_ms / block_ms if release_ms and block_ms else None
    complaints = finding(found, "synchronisation")
    is_known = complaints and not {"left out", "failed"} & complaints.keys()
    waiting = sum(bool(text) for text in complaints.values()) if is_known else None
    return {
        "ms of a block with commit, window 6": judge(block_ms, f"<= {MOST_BLOCK_MS:g}", at_most=MOST_BLOCK_MS),
        "frames/s into host memory, fast decoder": judge(
            per_second, f">= {LEAST_FRAMES_PER_S:g}", at_least=LEAST_FRAMES_PER_S
        ),
        "times as fast as the release's order": judge(ratio, f">= {LEAST_RATIO:g}", at_least=LEAST_RATIO),
        "operations that wait for the GPU": judge(waiting, "<= 0", at_most=0),
    }


def so_far(part: str) -> str:
    """Return the name of the finding of a part that is not done."""
    return f"{part}, so far"


def finding(found: Found, part: str) -> dict[str, Any]:
    """Return the finding of a part, or what it has so far; empty without any."""
    return found.get(part) or found.get(so_far(part)) or {}


def judge(
    value: float | None, bar: str, at_most: float = float("inf"), at_least: float = float("-inf")
) -> dict[str, object]:
    """Return a value, its bar, and "met", "not met" or "not measured"."""
    if value is None:
        return {"value": None, "bar": bar, "verdict": NOT_MEASURED}
    verdict = "met" if at_least <= value <= at_most else "not met"
    return {"value": round(value, 2), "bar": bar, "verdict": verdict}


def millis_of(row: object, part: str) -> float | None:
    """Return the median milliseconds of a part of an arm; None where it was not timed."""
    millis = row.get("ms", {}) if isinstance(row, dict) else {}
    return millis[part]["p50"] if part in millis else None


def report(found: Found) -> Iterator[str]:
    """Yield the lines of the table: attention, arms by window, decoders, end to end, bars."""
    if found.get("run", {}).get("rehearsal"):
        yield "a rehearsal on the CPU at tiny size: the numbers mean nothing"
    for size, row in entries(found.get("attention")):
        fastest = ", ".join(f"{name} {millis} ms" for name, millis in row["ms"].items())
        yield f"attention, {size}: {fastest}; taken: {row['taken']}"
    yield from arm_lines(found)
    for part in ("decoders, plain", "decoders, compiled"):
        for name, row in entries(finding(found, part)):
            if "decode_ms" in row:
                yield f"{part:20}{name:12}{row['decode_ms']['p50']:10.1f} ms, copy {row['copy_ms']['p50']:.2f} ms"
            else:
                yield f"{part:20}{name:12}{row}"
    for name, row in entries(finding(found, "end to end")):
        for order in (APART, BESIDE):
            if order in row:
                millis = row[order]["p50"]
                yield f"{name:22}{order:28}{millis:10.1f} ms{1000 * FRAMES_PER_BLOCK / millis:8.1f} frames/s"
    for name, bar in bars(found).items():
        yield f"{bar['verdict']:14}{name}: {bar['value']}, bar {bar['bar']}"


def arm_lines(found: Found) -> Iterator[str]:
    """Yield one line per window and arm."""
    profiles = found.get("profile", {})
    yield (
        f"{'window':12}{'arm':22}{'denoise ms':>12}{'commit ms':>11}{'block ms':>10}{'error':>10}"
        f"{'kernels':>9}{'launches':>9}{'idle':>7}"
    )
    windows = [name for name in found if name.startswith("window ") and not name.endswith(("plain", "seconds"))]
    for part in windows or [name for name in found if name.startswith("window ")]:
        for name, row in entries(found[part]):
            if "ms" not in row:
                continue
            denoise, commit, block = (millis_of(row, each) for each in ("denoise", "commit", "block"))
            beside = row.get("beside eager", {})
            error = "equal" if beside.get("equal") else f"{beside.get('relative_error', float('nan')):.1e}"
            line = f"{part:12}{name:22}{denoise:12.1f}{commit:11.1f}{block:10.1f}{error:>10}"
            profile = profiles.get(name, {}) if part == PROFILED else dict[str, Any]()
            if "kernels" in profile:
                line += f"{profile['kernels']:9}{profile['launches']:9}{profile['idle_share']:7.1%}"
            yield line


def entries(part: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a part that are tables; none for a part that is missing or failed."""
    if isinstance(part, dict):
        yield from ((name, row) for name, row in part.items() if isinstance(row, dict))
