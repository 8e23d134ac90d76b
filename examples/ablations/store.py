"""Keeps every outcome on disk as soon as it is there, so that nothing is made twice. Knows no experiment."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from examples.ablations.features import open_eyes
from examples.ablations.job import Cell, Outcome
from examples.pocket_world.evaluate.detectors import WEIGHTS as DETECTORS
from examples.pocket_world.evaluate.report import git_commit
from infrope_env.models.resolve import load_model
from infrope_env.recording.run_info import processor

FORMAT = 1
"""Raised when a change to the laboratory makes earlier outcomes worthless."""


@dataclass(frozen=True)
class Store:
    """A folder of outcomes."""

    folder: Path

    def has(self, cell: Cell) -> bool:
        """Whether it is done."""
        return self._path(cell).exists()

    def load(self, cell: Cell) -> Outcome:
        """What came out; KeyError when it is not done."""
        path = self._path(cell)
        if not path.exists():
            raise KeyError(f"{cell.name} has not been made yet; run the laboratory without --report")
        arrays = path.with_suffix(".npz")
        kept = json.loads(path.read_text())
        return Outcome(kept["records"], dict(np.load(arrays)) if arrays.exists() else {})

    def keep(self, cell: Cell, outcome: Outcome, minutes: float = 0.0) -> None:
        """Write it, whole or not at all."""
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        if outcome.arrays:
            part = path.with_suffix(".part.npz")
            np.savez_compressed(part, allow_pickle=False, **outcome.arrays)
            os.replace(part, path.with_suffix(".npz"))
        facts = {"cell": asdict(cell), "commit": git_commit(), "minutes": round(minutes, 2), "records": outcome.records}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=1) + "\n")
        os.replace(part, path)

    def facts(self, cells: Iterable[Cell]) -> tuple[float, tuple[str, ...]]:
        """Minutes that the cells took, and the commits they were made at."""
        kept = [json.loads(self._path(cell).read_text()) for cell in cells if self.has(cell)]
        return sum(each["minutes"] for each in kept), tuple(sorted({each["commit"] for each in kept}))

    def make(self, cells: Sequence[Cell], workers: int = 1) -> None:
        """Make what is missing: beside each other what measures no time, then one by one what does."""
        missing = [cell for cell in dict.fromkeys(cells) if not self.has(cell)]
        say = Progress(len(cells), len(missing)).say
        if workers > 1:
            self._make_beside([cell for cell in missing if not cell.timed], workers, say)
            missing = [cell for cell in missing if cell.timed]
        for cell in missing:
            say(cell, make_one(self, cell))

    def _make_beside(self, cells: Sequence[Cell], workers: int, say: Callable[[Cell, float], None]) -> None:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            tasks = {pool.submit(make_one, self, cell): cell for cell in cells}
            for done in as_completed(tasks):
                say(tasks[done], done.result())

    def _path(self, cell: Cell) -> Path:
        kind = type(cell).__name__.lower()
        told = [kind, asdict(cell), fingerprint(cell.weights), FORMAT]
        identity = json.dumps([*told, processor()] if cell.timed else told, sort_keys=True)
        return self.folder / f"{kind}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"


class Progress:
    """Says what is done and how long the rest may take."""

    def __init__(self, cells: int, missing: int) -> None:
        self._missing, self._done, self._started = missing, 0, time.monotonic()
        print(f"{cells} cells, {missing} of them to be made", flush=True)

    def say(self, cell: Cell, minutes: float) -> None:
        """One more."""
        self._done += 1
        so_far = (time.monotonic() - self._started) / 60
        left = so_far / self._done * (self._missing - self._done)
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} {self._done}/{self._missing} {cell.name} ({minutes:.1f} min; {left:.0f} left)", flush=True)


def make_one(store: Store, cell: Cell) -> float:
    """Make a cell and keep what comes out; the minutes it took."""
    torch.set_num_threads(1)
    started = time.monotonic()
    outcome = cell.run(open_eyes())
    minutes = (time.monotonic() - started) / 60
    store.keep(cell, outcome, minutes)
    return minutes


@lru_cache(maxsize=8)
def fingerprint(weights: str) -> str:
    """The bytes of a world, its steps, the device and dtype it is played in, and the bytes of the detectors.

    When the world is drawn otherwise, its detectors are trained anew, so they stand for the drawing too.
    """
    world = load_model(weights)
    detectors = hashlib.sha256(DETECTORS.read_bytes()).hexdigest()
    return " ".join([*world.sha256.values(), str(world.sampler), str(world.device), str(world.dtype), detectors])
