"""Real readers open an export: LeRobot, datasets, pandas and VBench. Run by hand, because LeRobot takes 8 GB of disk.

    python -m tests.export.real_readers prepare WORK          # this package's environment: about 40 blocks, twice
    python -m venv /tmp/lerobot && /tmp/lerobot/bin/pip install lerobot==0.4.4
    /tmp/lerobot/bin/python tests/export/real_readers.py lerobot WORK
    /tmp/lerobot/bin/python tests/export/real_readers.py tables WORK
    /tmp/lerobot/bin/pip install --no-deps vbench==0.1.5 decord    # its reader of folders needs no weights
    /tmp/lerobot/bin/python tests/export/real_readers.py vbench WORK

`prepare` records five episodes of the pocket world with flushes and cuts, kills the process of the last one, exports
them, and generates every pixel frame again, byte for byte, as the original to compare with. The other commands import
nothing of this package. LeRobot 0.4.4 decodes with torchcodec; without FFmpeg's libraries this script takes PyAV.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = {
    "a": "walk_right*2 jump stand cut_desert walk_left",
    "b": "wave cut_snow crouch walk_right",
    "cuts": "cut_desert cut_snow cut_city cut_beach cut_cave cut_meadow cut_desert",
    "board": "walk_left cut_city wave*2 cut_beach",
    "killed": "walk_right*3 cut_city jump*2 stand*80",
}
SUBJECTS = ("robot", "frog", "fox", "wizard", "penguin")
LEAST_PSNR_DB = 30.0
"""The codec loss that is allowed on an episode: x264 at CRF 16 with 4:2:0 colours; a frame off by one has far more."""


def prepare(work: Path) -> None:
    """Record, kill, export, and keep the original pixel frames."""
    recordings = work / "recordings"
    for seed, (name, script) in enumerate(SCRIPTS.items(), start=1):
        if not (recordings / name).exists():
            _record(recordings / name, script, seed, kill_after=7 if name == "killed" else None)
    originals = work / "originals"
    originals.mkdir(exist_ok=True)
    for name in SCRIPTS:
        if not (originals / f"{name}.npy").exists():
            np.save(originals / f"{name}.npy", _generate_again(recordings / name / "episode_000"))
    for kind in ("lerobot", "frames", "vbench"):
        command = [sys.executable, "-m", "infrope_env.cli", "export", str(recordings), "--to", kind]
        subprocess.run([*command, "--out", str(work / kind)], check=True)


def _record(out: Path, script: str, seed: int, kill_after: int | None) -> None:
    command = [sys.executable, "-m", "infrope_env.cli", "record", "--headless", "--script", script]
    command += ["--subject", SUBJECTS[seed - 1], "--seed", str(seed), "--out", str(out)]
    with subprocess.Popen(command) as process:
        log = out / "episode_000" / "blocks.jsonl"
        while kill_after is not None and (not log.exists() or len(log.read_bytes().splitlines()) < kill_after):
            time.sleep(0.1)
        if kill_after is not None:
            process.send_signal(signal.SIGKILL)


def _generate_again(episode: Path) -> np.ndarray:
    """Return the pixel frames of an episode from a replay, whose digests must be those of the recording."""
    import gymnasium
    import torch

    import infrope_env  # noqa: F401  registers the environments
    from infrope_env.control.frames import valid_frames
    from infrope_env.recording.episode import frames_digest
    from infrope_env.recording.reader import Recording

    torch.set_num_threads(1)
    recording = Recording.read(episode)
    env = gymnasium.make(recording.meta.env_id)
    frames = []
    for record in recording.blocks:
        if record.block == 0:
            observation, info = env.reset(seed=recording.meta.seed, options=recording.options)
        else:
            observation, *_, info = env.step(record.action)
        frames.append(valid_frames(observation, info))
        assert frames_digest(frames[-1]) == record.sha256, (episode, record.block)
    return np.concatenate(frames)


def lerobot(work: Path) -> None:
    """Load the dataset with LeRobot; compare frames, actions and times; iterate it with a DataLoader."""
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    backend = _video_backend()
    dataset = LeRobotDataset("local/infrope", root=work / "lerobot", video_backend=backend)
    print(f"{dataset.num_episodes} episodes, {len(dataset)} frames, {dataset.fps} fps, decoded by {backend}")
    assert dataset.num_episodes == len(SCRIPTS)
    names = json.loads((work / "lerobot" / "meta" / "infrope.json").read_text())["actions"]
    for episode, row in enumerate(dataset.meta.episodes):
        name = Path(row["recording/folder"]).parent.name
        original = np.load(work / "originals" / f"{name}.npy")
        log = [json.loads(line) for line in (Path(row["recording/folder"]) / "blocks.jsonl").open()]
        squared, worst = 0.0, 1e9
        for i in range(row["length"]):
            item = dataset[row["dataset_from_index"] + i]  # raises where a frame is further than 1e-4 s away
            block = next(line for line in log if line["first_frame"] <= i < line["end_frame"])
            assert int(item["action"]) == block["action"] and item["prompt"] == block["prompt"] == item["task"]
            assert item["action.name"] == ("reset" if block["action"] < 0 else names[block["action"]])
            assert int(item["block_index"]) == block["block"] and item["transition"] == block["transition"]
            assert (int(item["frame_index"]), int(item["episode_index"])) == (i, episode)
            frame = np.round(item["observation.image"].numpy().transpose(1, 2, 0) * 255)
            error = float(((frame - original[i]) ** 2).mean())
            squared, worst = squared + error, min(worst, _psnr(error))
        mean = _psnr(squared / row["length"])
        print(f"episode {episode} ({name}): {row['length']} frames, PSNR {mean:.1f} dB, worst frame {worst:.1f} dB")
        assert row["length"] == log[-1]["end_frame"] and mean > LEAST_PSNR_DB
    times = {"observation.image": [-1 / 16, 0.0], "action": [0.0, 1 / 16, 2 / 16]}
    pairs = LeRobotDataset("local/infrope", root=work / "lerobot", delta_timestamps=times, video_backend=backend)
    # Forked workers would share the files that LeRobot's cache of decoders has opened above, and their offsets.
    loader = torch.utils.data.DataLoader(
        pairs, batch_size=16, shuffle=True, num_workers=2, multiprocessing_context="spawn"
    )
    count = 0
    for batch in loader:
        assert batch["observation.image"].shape[1:] == (2, 3, 96, 160) and batch["action"].shape[1] == 3
        count += len(batch["prompt"])
    assert count == len(pairs)
    print(f"a DataLoader with 2 workers iterated {count} frames, each with the one before and two later actions")
    for key in ("observation.image", "action", "timestamp"):
        print(key, {name: np.round(value.reshape(-1), 3).tolist() for name, value in dataset.meta.stats[key].items()})


def _video_backend() -> str:
    """Return torchcodec, which LeRobot prefers, where FFmpeg's libraries let it load; else PyAV."""
    try:
        from torchcodec.decoders import VideoDecoder  # noqa: F401
    except (ImportError, RuntimeError):
        return "pyav"
    return "torchcodec"


def _psnr(squared_error: float) -> float:
    return 10 * float(np.log10(255**2 / max(squared_error, 1e-9)))


def tables(work: Path) -> None:
    """Load the logs with datasets and pandas, without casts."""
    import datasets
    import pandas

    logs = sorted(str(path) for path in (work / "recordings").rglob("blocks.jsonl"))
    loaded = datasets.load_dataset("json", data_files=logs, split="train", cache_dir=str(work / "cache"))
    print(loaded.features)
    frames = [pandas.read_json(log, lines=True) for log in logs]
    table = pandas.concat(frames)
    print({name: str(kind) for name, kind in table.dtypes.items()})
    assert len(table) == len(loaded) and not table.isna().any().any()
    for frame in frames:  # pandas reads a column of 0.0 as integers
        kinds = {
            name: "number" if name == "reward" and kind.kind in "if" else kind for name, kind in frame.dtypes.items()
        }
        assert kinds == {name: "number" if name == "reward" else kind for name, kind in table.dtypes.items()}
    assert str(table["action"].dtype) == str(table["end_frame"].dtype) == "int64"
    assert loaded.features["action"].dtype == "int64" and loaded.features["reward"].dtype == "float64"


def vbench(work: Path) -> None:
    """Let VBench pair the files of the folder with their prompts, as `--mode custom_input --prompt_file` does."""
    from vbench import VBench

    folder = work / "vbench"
    prompts = json.loads((folder / "prompts.json").read_text())
    dimensions = ["subject_consistency", "motion_smoothness", "imaging_quality", "temporal_style"]
    reader = VBench("cpu", "VBench_full_info.json", str(work / "vbench_results"))
    path = reader.build_full_info_json(str(folder), "check", dimensions, prompts, mode="custom_input")
    entries = json.loads(Path(path).read_text())
    recorded = {entry["prompts"][0] for entry in json.loads((folder / "export.json").read_text())["episodes"].values()}
    for entry in entries:
        (video,) = entry["video_list"]
        print(f"{Path(video).name}: {entry['prompt_en']}")
        assert entry["prompt_en"] == prompts[Path(video).name] and entry["prompt_en"] in recorded
    assert len(entries) == len(prompts) == len(SCRIPTS)


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    commands: dict[str, Any] = {"prepare": prepare, "lerobot": lerobot, "tables": tables, "vbench": vbench}
    commands[command](Path(folder))
