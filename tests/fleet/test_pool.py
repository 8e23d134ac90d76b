"""The pool's share of Ray's resources, and a Ray that cannot be used; a real one is in test_ray.py."""

from typing import Any

import pytest

from infrope_env.fleet.pool import Cluster, Resources, _init, _share


@pytest.mark.parametrize(
    ("found", "workers", "threads", "wants_gpu", "expected"),
    [
        ({"CPU": 8.0}, None, 1, True, Resources(8, 1, 0)),
        ({"CPU": 8.0}, None, 3, False, Resources(2, 3, 0)),
        ({"CPU": 1.0}, None, 2, False, Resources(1, 2, 0)),
        ({"CPU": 64.0, "GPU": 4.0}, None, 1, True, Resources(4, 1, 1)),
        ({"CPU": 64.0, "GPU": 4.0}, None, 1, False, Resources(64, 1, 0)),
        ({"CPU": 64.0, "GPU": 4.0}, 2, 1, True, Resources(2, 1, 1)),
    ],
)
def test_a_worker_gets_a_gpu_where_there_is_one_and_wanted_or_else_cores(
    found: dict[str, float], workers: int | None, threads: int, wants_gpu: bool, expected: Resources
) -> None:
    assert _share(found, workers, threads, wants_gpu) == expected


class SlowRay:
    """A Ray whose first starts fail."""

    def __init__(self, failures: int) -> None:
        self.left, self.given = failures, []

    def init(self, **arguments: Any) -> None:
        self.given.append(arguments)
        if self.left:
            self.left -= 1
            raise Exception("The current node timed out\nduring startup.")

    def shutdown(self) -> None:
        self.given.append("shutdown")


def test_ray_is_started_again_where_the_machine_was_busy() -> None:
    ray = SlowRay(failures=2)
    _init(ray, Cluster(workers=3), threads=2)
    assert ray.given[1] == ray.given[3] == "shutdown" and len(ray.given) == 5
    assert ray.given[4]["include_dashboard"] is False and ray.given[4]["num_cpus"] >= 6
    assert ray.given[4]["_node_ip_address"] == "127.0.0.1"


def test_a_ray_that_cannot_be_used_is_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"Ray on this machine cannot be used: The current node timed out during"):
        _init(SlowRay(failures=3), Cluster(), threads=1)
    ray = SlowRay(failures=1)
    with pytest.raises(RuntimeError, match=r"Ray at 10\.0\.0\.1:6379 cannot be used: .*RAY_AUTH_MODE=token"):
        _init(ray, Cluster(address="10.0.0.1:6379"), threads=1)
    assert ray.given[0]["address"] == "10.0.0.1:6379" and "num_cpus" not in ray.given[0]
