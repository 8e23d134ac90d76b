"""The comparison of speeds: arms in turns, ratios within a round, and one command from checkout to table."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.speed import command
from examples.speed.arms import ARMS, Arm, choose_arms
from examples.speed.process import ROOT, checkout
from examples.speed.table import ArmResult, student_interval, table

HAS_HISTORY = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True).returncode == 0


def result(arm: Arm, totals_ms: list[float], pixel: int) -> ArmResult:
    made = ArmResult(arm, first_block_s=1.0)
    for total_ms in totals_ms:
        blocks = [{"denoise": 0.8 * total_ms, "commit": 0.1 * total_ms, "decode": 1.0, "total": total_ms}] * 3
        made.add_round(blocks, np.full((3, 2, 4, 4, 3), pixel, np.uint8))
        made.compare_frames(np.full((3, 2, 4, 4, 3), 100, np.uint8))
    return made


def test_a_ratio_is_taken_within_each_round() -> None:
    before, after = result(ARMS[0], [100, 200, 300], 100), result(Arm("after"), [50, 100, 150], 110)
    assert after.ratio(before) == pytest.approx((0.5, 0.5, 0.5))
    assert (after.block_ms("total"), after.block_ms("denoise")) == pytest.approx((100, 80))
    assert after.psnr == pytest.approx(10 * math.log10(255**2 / 10**2))


def test_the_interval_is_that_of_students_t() -> None:
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 4.30 / 3**0.5, 2 + 4.30 / 3**0.5))
    assert student_interval([1.0]) == (1.0, -math.inf, math.inf)


def test_the_table_has_a_row_for_every_arm_and_says_where_pixels_are_equal() -> None:
    before, after = result(ARMS[0], [100, 200], 100), result(Arm("after", bar=0.85), [60, 80], 130)
    after.latencies_ms = [500.0, 600.0, 700.0]
    lines = list(table([before, after]))
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| before | 120.0 | 15.0 | 1.0 | 150.0 | 1.000 (1.000 to 1.000) |  | equal |  |  |"
    assert "| 0.500 (" in lines[3] and "| 0.85 | 18.6 | 600 | 680 |" in lines[3]
    assert after.to_json(before)["key_to_pixel_p50_ms"] == 600 and before.to_json(before)["psnr_db"] is None


def test_the_earlier_commit_is_always_the_first_arm() -> None:
    assert [arm.name for arm in choose_arms(["int8"])] == ["before", "int8"]
    assert not any("compile" in arm.arguments for arm in choose_arms(()))
    with pytest.raises(ValueError, match=r"expected arms to be among before, after, .*, got 'int4'"):
        choose_arms(["int4"])


@pytest.mark.skipif(not HAS_HISTORY, reason="needs the git repository")
def test_a_commit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="the commit 'nowhere' cannot be checked out"), checkout("nowhere"):
        pass


@pytest.mark.skipif(not HAS_HISTORY, reason="needs the git repository")
def test_one_command_compares_an_earlier_commit_with_a_choice(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    arms = ("int8-1-step",)
    command.main(command.Options(arms, rounds=2, blocks=2, before="HEAD", weights=str(tiny_weights), out=out))
    printed = capsys.readouterr().out.splitlines()
    found = json.loads(out.read_text())
    assert found == json.loads(printed[-1])
    before, choice = found["arms"]
    assert (before["name"], before["ratio"], before["psnr_db"]) == ("before", 1.0, None)
    assert choice["arguments"] == {"precision": "int8", "steps": 1} and 0 < choice["total_ms"] < before["total_ms"]
    assert choice["psnr_db"] > 5 and choice["interval"][0] <= choice["ratio"] <= choice["interval"][1]
    worktrees = subprocess.run(["git", "-C", str(ROOT), "worktree", "list"], capture_output=True, text=True).stdout
    assert "infrope-before-" not in worktrees


@pytest.mark.skipif(not HAS_HISTORY or os.name == "nt", reason="needs the git repository and signals")
@pytest.mark.parametrize("moment", ["checking out", "loading before"])
def test_a_terminated_comparison_leaves_nothing_behind(moment: str, tiny_weights: Path, tmp_path: Path) -> None:
    choice = ["--arms", "after", "--before", "HEAD", "--weights", str(tiny_weights)]
    running = subprocess.Popen(
        [sys.executable, "-m", "examples.speed", *choice],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    assert any(line.startswith(moment) for line in running.stdout)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    worktrees = subprocess.run(["git", "-C", str(ROOT), "worktree", "list"], capture_output=True, text=True).stdout
    assert running.returncode == 128 + signal.SIGTERM
    assert str(tmp_path) not in worktrees and not list(tmp_path.glob("infrope-before-*"))
