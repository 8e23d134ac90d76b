"""The files of a recording, and what is left of them when the process or the disk fails."""

import gc
import json
import multiprocessing
import resource
import shutil
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest

import infrope_env  # registers the environments
from infrope_env.recording import verify
from infrope_env.recording.episode import BlockRecord, frames_digest
from infrope_env.recording.video import AtomicAppendFile
from infrope_env.recording.wrapper import RecordingStopped, RecordRollout, find_recorder
from infrope_env.recording.writer import Recorder, RecordingError
from infrope_env.wrappers import LastFrame
from tests.recording.episodes import JUMP, STAND, WALK_RIGHT, lines_of, record


def decode(video: Path) -> list[av.VideoFrame]:
    with av.open(str(video)) as container:
        return list(container.decode(video=0))


def block_frames(block: int) -> np.ndarray:
    """Return a smooth picture that moves: 9 pixel frames in block 0, then 12."""
    rows, cols = np.mgrid[0:96, 0:160]
    shades = [(rows + cols + 3 * (12 * block + i)) % 256 for i in range(12 if block else 9)]
    return np.stack([np.stack([shade, 255 - shade, shade // 2], axis=-1) for shade in shades]).astype(np.uint8)


def write_block(recorder: Recorder, block: int) -> None:
    frames = block_frames(block)
    names = {"subject": "fox", "scene": "snow", "motion": "stand", "prompt": "a fox", "transition": "continue"}
    recorder.write(frames, BlockRecord(block, STAND, None, **names, sha256=frames_digest(frames)))


def test_an_episode_has_a_video_a_log_and_meta_data(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    observation, info = env.reset(seed=7, options={"subject": "frog"})
    env.step(WALK_RIGHT)
    env.close()
    episode = tmp_path / "episode_000"
    first, second = lines_of(episode)
    assert first["action"] == -1 and first["transition"] == "start" and first["prompt"] == info["prompt"]
    assert (first["first_frame"], first["end_frame"]) == (0, 9) and (second["first_frame"], second["end_frame"]) == (
        9,
        21,
    )
    assert first["sha256"] == frames_digest(observation[-9:])
    assert second["action"] == WALK_RIGHT and second["transition"] == "switch" and second["block"] == 1
    meta = json.loads((episode / "meta.json").read_text())
    assert meta["env_id"] == "infrope/PocketWorld-v0" and meta["env_kwargs"]["weights"] == str(tiny_weights)
    assert meta["seed"] == 7 and meta["options"] == {"subject": "frog"} and meta["continues"] is None
    assert meta["actions"] == env.unwrapped.action_set.to_dict()
    assert meta["made_with"]["weights"] == env.unwrapped.model.sha256
    assert {"dtype", "device", "processor", "versions"} <= meta["made_with"].keys()


def test_the_video_has_every_valid_frame_at_16_fps_and_a_keyframe_at_every_block(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 16)
    recorder.begin_episode({})
    for block in range(4):
        write_block(recorder, block)
    recorder.close()
    frames = decode(tmp_path / "episode_000" / "video.mp4")
    assert len(frames) == 9 + 3 * 12
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 9, 21, 33]
    assert [float(frame.time) for frame in frames] == [i / 16 for i in range(45)]


def test_the_video_looks_like_the_frames(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 16)
    recorder.begin_episode({})
    write_block(recorder, 0)
    recorder.close()
    shown = np.stack([f.to_ndarray(format="rgb24") for f in decode(tmp_path / "episode_000" / "video.mp4")])
    error = shown.astype(float) - block_frames(0)
    assert 10 * np.log10(255**2 / (error**2).mean()) > 30


def test_every_reset_begins_an_episode_numbered_after_those_in_the_folder(tiny_weights: Path, tmp_path: Path) -> None:
    for _ in range(2):
        env = record(tiny_weights, tmp_path)
        env.reset(seed=0)
        env.reset(seed=1)
        env.step(JUMP)
        env.close()
    names = [f"episode_{number:03d}" for number in range(4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [len(lines_of(tmp_path / name)) for name in names] == [1, 2, 1, 2]
    assert all(verify(tmp_path / name).ok for name in names)


def test_a_restored_state_begins_an_episode_that_names_the_block_it_continues(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=0)
    env.step(JUMP)
    saved = env.unwrapped.save_state()
    env.step(JUMP)
    env.unwrapped.restore_state(saved)
    env.step(STAND)
    env.close()
    meta = json.loads((tmp_path / "episode_001" / "meta.json").read_text())
    assert meta["continues"] == {"episode": "episode_000", "block": 1}
    (line,) = lines_of(tmp_path / "episode_001")
    assert line["block"] == 2 and (line["first_frame"], line["end_frame"]) == (0, 12)


def test_every_block_is_readable_while_the_recording_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 16)
    recorder.begin_episode({})
    for block in range(3):
        write_block(recorder, block)
        assert len(lines_of(tmp_path / "episode_000")) == block + 1
        assert len(decode(tmp_path / "episode_000" / "video.mp4")) == 9 + 12 * block
    recorder.close()


def test_a_recorder_that_is_garbage_collected_closes_its_episode(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=0)
    env.step(JUMP)
    del env
    gc.collect()
    report = verify(tmp_path / "episode_000")
    assert report.ok and not report.notes
    assert len(decode(tmp_path / "episode_000" / "video.mp4")) == 21


def test_two_processes_may_write_episodes_to_one_folder(tmp_path: Path) -> None:
    """Making the folder claims its number; a number that another process has taken is skipped."""
    one, other = Recorder(tmp_path, 16), Recorder(tmp_path, 16)
    for writer in (one, other, one):
        writer.begin_episode({})
        write_block(writer, 0)
    one.close()
    other.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["episode_000", "episode_001", "episode_002"]


def open_many_recorders(folder: Path, count: int) -> None:
    for _ in range(count):
        Recorder(folder, 16)


def test_many_processes_may_begin_to_record_in_one_folder_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=open_many_recorders, args=(folder, 300)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_reported_in_a_sentence(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordingError) as caught:
        record(tiny_weights, tmp_path / "file" / "recordings")
    assert str(caught.value) == (
        f"Recording to {tmp_path}/file/recordings is not possible: Not a directory. Choose another folder."
    )


def test_a_full_disk_stops_the_recording_but_not_the_rollout(
    tiny_weights: Path, tmp_path: Path, small_files: Any
) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=0)
    with small_files(60_000), pytest.warns(RecordingStopped) as warned:
        infos = [env.step(block % 6)[4] for block in range(60)]
    assert infos[-1]["block"] == 60
    sentence = f"Recording to {tmp_path}/episode_000 is not possible: File too large. The blocks before are kept."
    assert env.problem == sentence and [str(warning.message) for warning in warned] == [sentence]
    report = verify(tmp_path / "episode_000")
    assert report.ok and 2 < report.blocks < 60
    assert len(decode(tmp_path / "episode_000" / "video.mp4")) >= 9 + 12 * (report.blocks - 1)
    env.reset(seed=0)
    env.close()
    assert verify(tmp_path / "episode_001").ok


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_part(tmp_path: Path, small_files: Any) -> None:
    file = AtomicAppendFile(tmp_path / "lines")
    file.append(b"whole\n")
    with small_files(10), pytest.raises(OSError, match="File too large"):
        file.append(b"a long line\n")
    file.append(b"next\n")
    assert (tmp_path / "lines").read_bytes() == b"whole\nnext\n"


def test_a_folder_that_vanishes_is_reported_in_a_sentence(tmp_path: Path) -> None:
    gone = Recorder(tmp_path / "recordings", 16)
    (tmp_path / "recordings").rmdir()
    (tmp_path / "recordings").write_text("in the way")
    gone.begin_episode({})
    with pytest.raises(
        RecordingError, match=r"recordings is not possible: Not a directory\. The blocks before are kept\."
    ):
        write_block(gone, 0)
    write_block(gone, 1)  # the episode is over: nothing happens


def test_only_whole_blocks_of_an_environment_from_make_are_recorded(tiny_weights: Path, tmp_path: Path) -> None:
    made: Any = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights))
    newest = gymnasium.wrappers.TransformObservation(
        made, lambda frames: frames[-1], gymnasium.spaces.Box(0, 255, made.observation_space.shape[1:], np.uint8)
    )
    with pytest.raises(ValueError, match="goes directly around the environment"):
        RecordRollout(newest, tmp_path)
    with pytest.raises(ValueError, match=r"Only an environment from gymnasium\.make can be recorded"):
        RecordRollout(infrope_env.env.InfinityRopeEnv(weights=str(tiny_weights)), tmp_path)
    with pytest.raises(ValueError, match="expected an infrope environment"):
        RecordRollout(gymnasium.make("CartPole-v1"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_files() -> Any:
    """Context manager in which no file can grow beyond a number of bytes, as on a full disk."""
    return SmallFiles


class SmallFiles:
    def __init__(self, size: int) -> None:
        self._limits = size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def test_the_recorder_is_found_among_wrappers(tiny_weights: Path, tmp_path: Path) -> None:
    recorded = record(tiny_weights, tmp_path)
    assert find_recorder(LastFrame(recorded)) is recorded
    assert find_recorder(recorded.env) is None


def test_a_state_restored_twice_in_a_row_begins_one_episode(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=0)
    state = env.unwrapped.save_state()
    env.unwrapped.restore_state(state)
    env.unwrapped.restore_state(state)
    env.step(JUMP)
    env.step(STAND)
    env.close()
    assert [len(lines_of(episode)) for episode in env.episodes] == [1, 2]


def test_blocks_made_without_the_wrapper_begin_an_episode_of_their_own(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=1)
    env.unwrapped.reset(seed=2)
    env.step(STAND)
    env.unwrapped.step(JUMP)
    env.step(STAND)
    env.close()
    metas = [json.loads((episode / "meta.json").read_text()) for episode in env.episodes]
    assert [[line["block"] for line in lines_of(episode)] for episode in env.episodes] == [[0], [1], [3]]
    assert [meta["seed"] for meta in metas] == [1, 2, 2]
    unrecorded = {"episode": None}
    assert [meta["continues"] for meta in metas] == [None, unrecorded | {"block": 0}, unrecorded | {"block": 2}]


def test_a_folder_that_vanishes_before_the_end_is_reported_and_not_made_again(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=1)
    shutil.rmtree(tmp_path / "kept")
    with pytest.warns(RecordingStopped, match="No such file or directory"):
        env.close()
    assert not (tmp_path / "kept").exists()
