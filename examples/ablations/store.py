"""A store of outcomes on disk: each is written when its job is done, so an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from examples.ablations.features import feature_extractor
from examples.ablations.job import Job, Outcome
from examples.pocket_world.evaluate.detectors import WEIGHTS as DETECTORS
from examples.pocket_world.evaluate.report import git_commit
from infrope_env.atomic_file import write_atomically
from infrope_env.models.resolve import load_model
from infrope_env.recording.run_info import processor

FORMAT = 1
"""Part of every key: raise it when a change of the experiments invalidates stored outcomes."""

K = TypeVar("K")


@dataclass(frozen=True)
class Store:
    """A folder of outcomes, keyed by the job's fields, its weights and, for timed jobs, the processor."""

    folder: Path

    def has(self, job: Job) -> bool:
        """Return whether the job is done."""
        return self._path(job).exists()

    def load(self, job: Job) -> Outcome:
        """Read an outcome.

        Raises:
            KeyError: The job is not done.
        """
        path = self._path(job)
        if not path.exists():
            raise KeyError(f"{job.name} has no outcome in {self.folder}; run the experiments without --report")
        arrays = path.with_suffix(".npz")
        return Outcome(json.loads(path.read_text())["records"], dict(np.load(arrays)) if arrays.exists() else {})

    def load_rows(self, rows: Mapping[K, Sequence[Job]]) -> dict[K, list[Outcome]]:
        """Read the outcomes of jobs that are grouped by table row."""
        return {row: [self.load(job) for job in jobs] for row, jobs in rows.items()}

    def save(self, job: Job, outcome: Outcome, minutes: float = 0.0) -> None:
        """Write an outcome; the JSON file, written last, marks the job as done."""
        path = self._path(job)
        if outcome.arrays:
            write_atomically(path.with_suffix(".npz"), lambda part: _save_arrays(part, outcome.arrays))
        facts = {"job": asdict(job), "commit": git_commit(), "minutes": round(minutes, 2), "records": outcome.records}
        write_atomically(path, (json.dumps(facts, indent=1) + "\n").encode())

    def facts(self, jobs: Iterable[Job]) -> tuple[float, tuple[str, ...]]:
        """Return the minutes that the finished jobs took, and the commits that they ran at."""
        stored = [json.loads(self._path(job).read_text()) for job in jobs if self.has(job)]
        return sum(each["minutes"] for each in stored), tuple(sorted({each["commit"] for each in stored}))

    def run_missing(self, jobs: Sequence[Job], workers: int = 1) -> None:
        """Run the jobs that are not done: untimed ones in parallel, then timed ones one by one."""
        missing = [job for job in dict.fromkeys(jobs) if not self.has(job)]
        progress = Progress(len(jobs), len(missing))
        parallel = [job for job in missing if not job.timed] if workers > 1 else []
        if parallel:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                tasks = {pool.submit(run_and_save, self, job): job for job in parallel}
                for done in as_completed(tasks):
                    progress.report(tasks[done], done.result())
        for job in missing:
            if job not in parallel:
                progress.report(job, run_and_save(self, job))

    def _path(self, job: Job) -> Path:
        kind = type(job).__name__.lower()
        key = [kind, asdict(job), fingerprint(job.variant.weights), FORMAT]
        text = json.dumps([*key, processor()] if job.timed else key, sort_keys=True)
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


class Progress:
    """Progress output with an estimate of the remaining time."""

    def __init__(self, jobs: int, missing: int) -> None:
        """Print how many jobs there are and how many are to be run."""
        self._missing, self._done, self._started = missing, 0, time.monotonic()
        print(f"{jobs} jobs, {missing} of them to run", flush=True)

    def report(self, job: Job, minutes: float) -> None:
        """Print that a job is done."""
        self._done += 1
        elapsed = (time.monotonic() - self._started) / 60
        remaining = elapsed / self._done * (self._missing - self._done)
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} {self._done}/{self._missing} {job.name} ({minutes:.1f} min; {remaining:.0f} left)", flush=True)


def run_and_save(store: Store, job: Job) -> float:
    """Run a job in one thread and store its outcome; return the minutes that it took."""
    torch.set_num_threads(1)
    started = time.monotonic()
    outcome = job.run(feature_extractor())
    minutes = (time.monotonic() - started) / 60
    store.save(job, outcome, minutes)
    return minutes


@lru_cache(maxsize=8)
def fingerprint(weights: str) -> str:
    """Return the hashes of a model and of the detectors, the sampler, device and dtype.

    Detectors are retrained when the drawing of the world changes, so their hash covers the drawing.
    """
    model = load_model(weights)
    detectors = hashlib.sha256(DETECTORS.read_bytes()).hexdigest()
    return " ".join([*model.sha256.values(), str(model.sampler), str(model.device), str(model.dtype), detectors])


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # given a path, numpy would append ".npz" to its name
        np.savez_compressed(file, allow_pickle=False, **arrays)
