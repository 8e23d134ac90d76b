"""A real Ray with two workers: one is killed, the command is interrupted, the same command makes what is missing."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from infrope_env.recording import verify
from tests.fleet.processes import finished, fleet, logs, wait_for, workers

pytest.importorskip("ray")
NAMES = [*(f"walk-{seed}" for seed in range(3)), "jump-7", "long-0"]
PLAN = """
[environment]
weights = "{weights}"
[episodes.walk]
seeds = 3
random = true
blocks = 60
[episodes.jump]
seeds = [7]
script = "jump*2 cut_city stand"
subject = "robot"
[episodes.long]  # is not finished before the interrupt
blocks = 400
"""


@pytest.mark.slow
def test_a_fleet_survives_a_dead_worker_and_goes_on_after_an_interrupt(tiny_weights: Path, tmp_path: Path) -> None:
    (plan := tmp_path / "plan.toml").write_text(PLAN.format(weights=tiny_weights))
    out = tmp_path / "out"
    with fleet(plan, "--out", out, "--workers", 2) as process:
        wait_for(lambda: logs(out) and workers(process))[0].kill()
        wait_for(lambda: finished(out))
        started = process.children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors and "workers" in errors
    assert not psutil.wait_procs(started, timeout=60)[1] and not (out / ".partial").exists()
    kept = finished(out)
    assert kept and kept < set(NAMES)

    with fleet(plan, "--out", out, "--workers", 2, "--to", "lerobot") as process:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0
    assert f"{len(NAMES) - len(kept)} episodes made" in output and f"{len(kept)} there already" in output
    assert finished(out) == set(NAMES) and not (out / ".partial").exists()
    for name in NAMES:
        assert verify(out / name / "episode_000", weights=str(tiny_weights)).ok
    rows = [json.loads(line) for line in (out / "jump-7" / "episode_000" / "blocks.jsonl").open()]
    assert [row["action"] for row in rows] == [-1, 3, 3, 9, 0] and rows[0]["subject"] == "robot"
    assert "5 episodes added" in output and recorded(out / "lerobot") == NAMES


def recorded(dataset: Path) -> list[str]:
    """Return the name of every episode of a dataset, in order."""
    import pyarrow.parquet as pq

    tables = sorted(dataset.glob("meta/episodes/chunk-000/*.parquet"))
    return [Path(pq.read_table(table)["recording/folder"][0].as_py()).parent.name for table in tables]
