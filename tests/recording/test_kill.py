"""A recording whose process is killed: the video has every block that the log has."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import infrope_env
from infrope_env.recording import verify
from infrope_env.recording.reader import VIDEO, count_frames
from tests.recording.episodes import lines_of
from tests.recording.test_writer import decode

ROOT = Path(infrope_env.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PLAYER = """
import sys, gymnasium, torch, infrope_env
from pathlib import Path
from infrope_env.recording.wrapper import RecordRollout
torch.set_num_threads(1)
env = RecordRollout(gymnasium.make("infrope/PocketWorld-v0", weights=sys.argv[1]), sys.argv[2])
_, info = env.reset(seed=0)
while True:
    print(info["block"], flush=True)
    _, _, _, _, info = env.step(info["block"] % 6)
"""


@pytest.mark.parametrize("blocks", [1, 7, 20])
def test_kill_9_loses_no_block_that_the_caller_has(tiny_weights: Path, tmp_path: Path, blocks: int) -> None:
    command = [sys.executable, "-c", PLAYER, str(tiny_weights), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        for _ in range(blocks):
            reported = int(process.stdout.readline()) + 1
        process.send_signal(signal.SIGKILL)
        reported = max([reported, *(int(line) + 1 for line in process.stdout.read().split(b"\n") if line)])
    episode = tmp_path / "episode_000"
    assert process.returncode == -signal.SIGKILL
    assert len(decode(episode / "video.mp4")) >= 9 + 12 * (reported - 1)
    report = verify(episode, weights=str(tiny_weights))
    assert report.ok and report.blocks >= reported
    assert any("was never closed" in remark for remark in report.remarks)


WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from infrope_env.recording.writer import Recorder
from tests.recording.test_writer import write_block

def record(folder):
    recorder = Recorder(folder, 16)
    recorder.begin_episode({})
    for block in range(10_000):
        write_block(recorder, block)

random.seed(0)
for number in range(60):
    folder = Path(sys.argv[1]) / str(number)
    log, blocks = folder / "episode_000" / "blocks.jsonl", random.randrange(4)
    writer = os.fork()
    if writer == 0:
        record(folder)
    while blocks and not (log.exists() and log.read_bytes().count(b"\\n") >= blocks):
        time.sleep(0.0005)
    time.sleep(random.choice((0, 0.002, 0.01, 0.03)))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
"""


def test_kill_9_at_any_moment_leaves_a_video_with_every_block_of_the_log(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITERS, str(tmp_path)], env=ENVIRONMENT, check=True, timeout=120)
    blocks = []
    for episode in tmp_path.glob("*/episode_000"):
        if not (episode / "blocks.jsonl").exists() or not (lines := lines_of(episode)):
            continue
        blocks.append(len(lines))
        logged = lines[-1]["end_frame"]
        with (episode / VIDEO).open("rb") as file:
            assert logged <= count_frames(file, logged + 12) <= logged + 12
        assert logged <= len(decode(episode / VIDEO)) <= logged + 12
    assert len(blocks) > 20 and min(blocks) == 1 and max(blocks) > 2
