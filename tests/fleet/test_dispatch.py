"""Dispatch: which worker makes which episode, under workers that fail, break and die."""

from collections.abc import Callable
from typing import Any

import pytest

from infrope_env.cli_options import RolloutOptions
from infrope_env.fleet.dispatch import Dispatcher, Event, FleetError, WorkerDied
from infrope_env.fleet.plan import EpisodeRequest
from infrope_env.recording.writer import RecordingError

Behaviour = Callable[[str, int], Exception | None]
"""(name of an episode or "start", attempt at it from 1) -> how it ends."""


class FakePool:
    """Workers that end in the order in which they were given work, each as a function says.

    Attributes:
        partials: Folders of the attempts, in order.
        alive: Workers that were started and not stopped.
        most: Largest number of workers that were alive at once.
    """

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._calls: list[tuple[int, str]] = []
        self._attempts: dict[str, int] = {}
        self.started, self.most = 0, 0
        self.partials: list[str] = []
        self.alive: set[int] = set()

    def start(self) -> int:
        self.started += 1
        self.alive.add(self.started)
        self.most = max(self.most, len(self.alive))
        self._calls.append((self.started, "start"))
        return self.started

    def record(self, worker: int, *arguments: Any) -> None:
        episode, partial, description = arguments
        assert worker in self.alive and description == {"name": episode.name}
        self.partials.append(partial)
        self._calls.append((worker, episode.name))

    def stop(self, worker: int) -> None:
        self.alive.remove(worker)

    def wait(self, seconds: float) -> list[Event]:
        if not self._calls:
            return []
        worker, name = self._calls.pop(0)
        self._attempts[name] = self._attempts.get(name, 0) + 1
        return [Event(worker, None, self._behave(name, self._attempts[name]))]


def episodes(count: int) -> list[EpisodeRequest]:
    return [EpisodeRequest(f"walk-{seed}", RolloutOptions(seed=seed), blocks=4) for seed in range(count)]


def dispatch(
    behave: Behaviour, count: int = 5, workers: int = 2
) -> tuple[Dispatcher, FakePool, list[tuple[str, bool]]]:
    pool, settled = FakePool(behave), []
    dispatcher = Dispatcher(
        pool, episodes(count), lambda each: {"name": each.name}, lambda each, made: settled.append((each.name, made))
    )
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        assert looks < 200, "the fleet does not end"

    dispatcher.run(workers, look)
    return dispatcher, pool, settled


def names(requests: list[EpisodeRequest]) -> list[str]:
    return [request.name for request in requests]


def test_every_episode_is_made_once_and_workers_without_work_end() -> None:
    dispatcher, pool, settled = dispatch(lambda name, attempt: None)
    assert names(dispatcher.outcome.made) == [f"walk-{n}" for n in range(5)] and not dispatcher.outcome.failed
    assert settled == [(f"walk-{n}", True) for n in range(5)]
    assert pool.most == 2 and not pool.alive and not dispatcher.running
    assert len(set(pool.partials)) == 5 and all(part.startswith("walk-") for part in pool.partials)


def test_no_more_workers_are_started_than_there_are_episodes() -> None:
    assert dispatch(lambda name, attempt: None, count=2, workers=64)[1].started == 2


def test_the_episode_of_a_worker_that_died_goes_to_another_in_a_folder_of_its_own() -> None:
    died = WorkerDied("killed")
    dispatcher, pool, _ = dispatch(lambda name, attempt: died if (name, attempt) == ("walk-1", 1) else None)
    assert sorted(names(dispatcher.outcome.made)) == [f"walk-{n}" for n in range(5)]
    assert dispatcher.outcome.replaced == 1 and pool.started == 3 and pool.most == 2
    assert len({part for part in pool.partials if part.startswith("walk-1.")}) == 2


def test_a_worker_that_dies_at_the_last_episode_is_replaced_though_the_others_have_ended() -> None:
    last = WorkerDied("killed")
    dispatcher, pool, _ = dispatch(lambda name, attempt: last if (name, attempt) == ("walk-4", 1) else None)
    assert len(dispatcher.outcome.made) == 5 and pool.started == 3


def test_an_episode_that_kills_three_workers_fails_and_the_others_are_made() -> None:
    dispatcher, _, settled = dispatch(lambda name, attempt: WorkerDied("out of memory") if name == "walk-0" else None)
    ((episode, reason),) = dispatcher.outcome.failed
    assert (episode.name, reason) == ("walk-0", "its worker died 3 times: out of memory")
    assert len(dispatcher.outcome.made) == 4 and ("walk-0", False) in settled


def test_an_episode_that_the_model_cannot_make_fails_at_once_and_its_worker_goes_on() -> None:
    refusal = ValueError("'dragon' is not a word of the model")
    dispatcher, pool, _ = dispatch(lambda name, attempt: refusal if name == "walk-2" else None)
    assert [(each.name, reason) for each, reason in dispatcher.outcome.failed] == [("walk-2", str(refusal))]
    assert len(dispatcher.outcome.made) == 4 and pool.started == 2 and dispatcher.outcome.replaced == 0


def test_a_worker_that_broke_is_replaced_because_its_device_may_be_unusable() -> None:
    broken = RuntimeError("CUDA error")
    dispatcher, pool, _ = dispatch(lambda name, attempt: broken if (name, attempt) == ("walk-3", 1) else None)
    assert len(dispatcher.outcome.made) == 5 and pool.started == 3


def test_a_full_disk_ends_the_fleet() -> None:
    full = RecordingError("No space left on device")
    with pytest.raises(RecordingError, match="No space left"):
        dispatch(lambda name, attempt: full if name == "walk-2" else None)


def test_an_environment_that_cannot_be_made_ends_the_fleet_with_its_sentence() -> None:
    with pytest.raises(ValueError, match="no GPU"):
        dispatch(lambda name, attempt: ValueError("no GPU") if name == "start" else None)
    with pytest.raises(FleetError, match="No worker starts: out of memory"):
        dispatch(lambda name, attempt: RuntimeError("out of memory") if name == "start" else None)


def test_workers_that_die_before_they_are_ready_are_given_up_after_some() -> None:
    with pytest.raises(FleetError, match="No worker can start: killed"):
        dispatch(lambda name, attempt: WorkerDied("killed") if name == "start" else None)
    dispatcher, _, _ = dispatch(lambda name, attempt: WorkerDied("killed") if name == "start" and attempt < 3 else None)
    assert len(dispatcher.outcome.made) == 5
