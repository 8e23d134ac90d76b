"""Worker processes as Ray runs them: on this machine, or on a cluster that this process joins."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infrope_env.fleet.dispatch import Event, WorkerDied
from infrope_env.fleet.worker import Worker

OBJECT_STORE_BYTES = 80 * 2**20  # the least that Ray takes: episodes go to the disk, and only requests through Ray
MOST_STARTS = 3
"""Attempts to start Ray on this machine."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU sees the devices that this process sees
    "RAY_worker_niceness": "0",  # Ray's own 15 lets everything else on a busy machine go first
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this environment, not one that is built for each
}
"""Settings of a Ray that this process starts, unless the user's environment has them."""


@dataclass(frozen=True)
class Resources:
    """The resources of Ray, and the share of a worker.

    Attributes:
        workers: Number of workers.
        cpus: Cores of each.
        gpus: GPUs of each.
    """

    workers: int
    cpus: int
    gpus: int


class RayPool:
    """Workers as Ray actors. A worker is known by its number.

    Attributes:
        resources: Number of workers, and what each gets.
    """

    def __init__(self, ray: Any, worker: type[Worker], arguments: tuple[Any, ...], resources: Resources) -> None:
        """Use a Ray that runs; `ray_pool` starts one.

        Args:
            ray: The module.
            worker: Class of the workers.
            arguments: Its arguments.
            resources: Number of workers, and what each gets.
        """
        self._ray, self.resources, self._arguments = ray, resources, arguments
        self._actor = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_restarts=0)(worker)
        self._handles: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}  # worker by the call that is under way
        self._next = 0

    def start(self) -> int:
        """Start a worker and return its number; `wait` returns an event when it is ready."""
        number, self._next = self._next, self._next + 1
        self._handles[number] = self._actor.remote(*self._arguments)
        self._calls[self._handles[number].start.remote()] = number
        return number

    def record(self, worker: int, *arguments: Any) -> None:
        """Let a worker record an episode, with the arguments of `Worker.record`."""
        self._calls[self._handles[worker].record.remote(*arguments)] = worker

    def stop(self, worker: int) -> None:
        """End a worker."""
        self._ray.kill(self._handles.pop(worker))

    def wait(self, seconds: float) -> list[Event]:
        """Return what ended, waiting for it at most so many seconds."""
        done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        return [self._event(call) for call in done]

    def _event(self, call: Any) -> Event:
        worker = self._calls.pop(call)
        errors = self._ray.exceptions
        try:
            return Event(worker, self._ray.get(call), None)
        except errors.RayTaskError as error:
            return Event(worker, None, error.cause if isinstance(error.cause, Exception) else error)
        except errors.RayError as error:  # the actor, its machine, or the connection to it
            return Event(worker, None, WorkerDied(_one_line(error)))


@dataclass(frozen=True)
class Cluster:
    """Where the workers of a fleet run.

    Attributes:
        workers: Number of workers; None means one per GPU, or per core where there is none or none is wanted.
        address: Address of a Ray cluster; None starts Ray on this machine.
    """

    workers: int | None = None
    address: str | None = None


@contextlib.contextmanager
def ray_pool(
    worker: type[Worker], arguments: tuple[Any, ...], cluster: Cluster, threads: int, wants_gpu: bool
) -> Iterator[RayPool]:
    """Start Ray on this machine, or join a cluster, and end what was started.

    Args:
        worker: Class of the workers.
        arguments: Its arguments.
        cluster: Where the workers run.
        threads: Cores of a worker.
        wants_gpu: Whether a worker uses a GPU where there is one.

    Raises:
        RuntimeError: Ray cannot be started or reached.
    """
    ray = _import_ray()
    _init(ray, cluster, threads)
    try:
        yield RayPool(ray, worker, arguments, _share(ray.cluster_resources(), cluster.workers, threads, wants_gpu))
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RuntimeError("A fleet needs Ray: pip install 'infrope-env[fleet]'") from error
    return ray


def _init(ray: Any, cluster: Cluster, threads: int) -> None:
    """Start Ray here, with some patience on a busy machine, or join the cluster."""
    where: dict[str, Any] = {"address": cluster.address}
    if cluster.address is None:
        cores = None if cluster.workers is None else max(cluster.workers * threads, os.cpu_count() or 1)
        where = {"address": "local", "num_cpus": cores, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        where["object_store_memory"] = OBJECT_STORE_BYTES
    for attempt in range(1, MOST_STARTS + 1):
        try:
            ray.init(**where, logging_level=logging.ERROR, log_to_driver=False)
            return
        except Exception as error:  # Ray raises a plain Exception when its processes take more than 30 s
            ray.shutdown()
            if cluster.address is not None or attempt == MOST_STARTS:
                place = "on this machine" if cluster.address is None else f"at {cluster.address}"
                hint = "" if cluster.address is None else ". If it asks for a token, set RAY_AUTH_MODE=token"
                raise RuntimeError(f"Ray {place} cannot be used: {_one_line(error)}{hint}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _share(found: dict[str, float], workers: int | None, threads: int, wants_gpu: bool) -> Resources:
    """Return the number of workers and the resources of each, from what Ray has."""
    gpus = int(found.get("GPU", 0)) if wants_gpu else 0
    places = gpus or max(1, int(found.get("CPU", 1)) // threads)
    return Resources(workers or places, threads, 1 if gpus else 0)
