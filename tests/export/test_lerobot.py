"""A LeRobot dataset, read back with pyarrow and PyAV: rows, times, frames, statistics, and what a kill leaves."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from infrope_env.export import lerobot
from infrope_env.export.exporter import ExportError, Outcome, export
from infrope_env.export.lerobot import LeRobotFolder
from infrope_env.folder_lock import FolderInUse, lock_folder
from tests.export.conftest import FOX, FROG, Studio, block_frames
from tests.recording.episodes import change, edit_meta

VIDEO = "observation.image"


def add(out: Path, *episodes: Path, **options: Any) -> Outcome:
    return export(episodes, out, LeRobotFolder, **options)


def info_of(out: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((out / "meta" / "info.json").read_text())
    return info


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return the rows that a reader of the dataset reaches."""
    rows = [row for path in sorted(out.glob("data/*/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return rows[: info_of(out)["total_frames"]]


def episodes_of(out: Path) -> list[dict[str, Any]]:
    paths = sorted(out.glob("meta/episodes/*/*.parquet"))
    return [pq.read_table(path).to_pylist()[0] for path in paths][: info_of(out)["total_episodes"]]


def video_of(out: Path, episode: dict[str, Any]) -> Path:
    chunk, file = episode[f"videos/{VIDEO}/chunk_index"], episode[f"videos/{VIDEO}/file_index"]
    return out / info_of(out)["video_path"].format(video_key=VIDEO, chunk_index=chunk, file_index=file)


def packets(video: Path, count: int | None = None) -> list[bytes]:
    with av.open(str(video)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size][:count]


def decode(video: Path) -> tuple[list[float], np.ndarray]:
    """Return time and pixels of every frame."""
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def test_the_layout_is_that_of_format_v3(studio: Studio, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = add(out, studio.record("a"), studio.record("bb", [FROG] * 2))
    assert [place for _, place in outcome.added] == ["episode 0", "episode 1"] and not outcome.refused
    info = info_of(out)
    assert (info["codebase_version"], info["fps"], info["chunks_size"]) == ("v3.0", 16, 1000)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 54, 2)
    assert info["splits"] == {"train": "0:2"}
    assert info["features"][VIDEO]["shape"] == [32, 48, 3] and info["features"][VIDEO]["dtype"] == "video"
    columns = {name for name, feature in info["features"].items() if feature["dtype"] != "video"}
    schema = pq.read_schema(out / "data" / "chunk-000" / "file-000.parquet")
    assert set(schema.names) == columns and all("/" not in name for name in columns)
    for name in columns:
        assert str(schema.field(name).type).replace("float", "float32") == info["features"][name]["dtype"]
    first, second = episodes_of(out)
    assert (first["dataset_from_index"], first["dataset_to_index"], first["length"]) == (0, 33, 33)
    assert (second["dataset_from_index"], second["dataset_to_index"], second["length"]) == (33, 54, 21)
    assert (second["data/file_index"], second["meta/episodes/file_index"]) == (1, 1)
    assert (first["tasks"], second["tasks"]) == ([FOX, FROG], [FROG])
    assert second[f"videos/{VIDEO}/from_timestamp"] == 0 and second[f"videos/{VIDEO}/to_timestamp"] == 21 / 16
    assert not (out / ".partial").exists()


def test_tasks_are_indexed_by_prompt_as_pandas_reads_them(studio: Studio, tmp_path: Path) -> None:
    add(tmp_path / "out", studio.record("a"))
    table = pq.read_table(tmp_path / "out" / "meta" / "tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": [FOX, FROG]}
    described = json.loads(table.schema.metadata[b"pandas"])
    assert described["index_columns"] == ["task"]


def test_row_i_has_the_action_that_made_pixel_frame_i(studio: Studio, tmp_path: Path) -> None:
    add(tmp_path / "out", studio.record("a", [FOX, FOX, FROG, FROG]))
    rows = rows_of(tmp_path / "out")
    _, frames = decode(video_of(tmp_path / "out", episodes_of(tmp_path / "out")[0]))
    shown = np.round((frames[..., 0].mean(axis=(1, 2)) - 20) / 24).astype(int).tolist()  # the block, seen in the frame
    assert shown == [row["block_index"] for row in rows] == [0] * 9 + [1] * 12 + [2] * 12 + [3] * 12
    assert [row["action"] for row in rows] == [block - 1 for block in shown]
    assert {(row["action"], row["action.name"]) for row in rows} == {
        (-1, "reset"), (0, "stand"), (1, "walk_left"), (2, "walk_right"),
    }  # fmt: skip
    assert [row["prompt"] for row in rows] == [FOX] * 21 + [FROG] * 24
    assert [row["task_index"] for row in rows] == [0] * 21 + [1] * 24
    assert [row["transition"] for row in rows[::12]] == ["start", "continue", "switch", "continue"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "the action of row i is the one that made frame i" in card and "cut_desert" in card
    assert "made frame i" in json.loads((tmp_path / "out" / "meta" / "infrope.json").read_text())["alignment"]


def test_reward_and_end_stand_in_the_last_row_of_their_block(studio: Studio, tmp_path: Path) -> None:
    add(tmp_path / "out", studio.record("a", [FOX] * 3))
    rows = rows_of(tmp_path / "out")
    assert {i: row["reward"] for i, row in enumerate(rows) if row["reward"]} == {20: 0.25, 32: 0.5}
    assert [i for i, row in enumerate(rows) if row["terminated"]] == [32]
    assert not any(row["truncated"] for row in rows)


def test_packets_are_copied_and_frames_stand_at_their_times(studio: Studio, tmp_path: Path) -> None:
    episode = studio.record("killed", [FOX] * 4, closed=False)
    log = (episode / "blocks.jsonl").read_bytes()
    (episode / "blocks.jsonl").write_bytes(log[:-30])
    add(tmp_path / "out", episode)
    video = video_of(tmp_path / "out", episodes_of(tmp_path / "out")[0])
    assert packets(video) == packets(episode / "video.mp4", 33)
    times, frames = decode(video)
    rows = rows_of(tmp_path / "out")
    assert np.abs(np.array(times) - [row["timestamp"] for row in rows]).max() < 1e-6 and times[-1] == 32 / 16
    assert (frames == decode(episode / "video.mp4")[1][:33]).all()
    recorded = np.concatenate([block_frames(block) for block in range(3)])
    assert np.abs(frames.astype(int) - recorded).max() <= 6  # the codec's loss
    with av.open(str(video)) as container:  # a file with an index: LeRobot seeks by its length and frame rate
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.duration * stream.time_base) == (33, 16, 33 / 16)


def test_statistics_are_those_of_all_rows_and_pixels(studio: Studio, tmp_path: Path) -> None:
    out = tmp_path / "out"
    add(out, studio.record("a", [FOX] * 5), studio.record("bb", [FROG] * 2))
    pixels = np.concatenate([decode(video_of(out, episode))[1] for episode in episodes_of(out)]) / 255
    stats, rows = json.loads((out / "meta" / "stats.json").read_text()), rows_of(out)
    assert np.array(stats[VIDEO]["mean"]).shape == (3, 1, 1) and stats[VIDEO]["count"] == [78]
    for key, function in {"min": np.min, "max": np.max, "mean": np.mean, "std": np.std}.items():
        assert np.allclose(np.array(stats[VIDEO][key])[:, 0, 0], function(pixels, axis=(0, 1, 2)), atol=1e-9)
        for column in ("action", "timestamp", "reward", "index", "task_index", "terminated"):
            expected = function(np.array([row[column] for row in rows], dtype=np.float64))
            assert np.allclose(stats[column][key], [expected], atol=1e-9), (column, key)
    episode = episodes_of(out)[0]
    of_one = np.quantile(decode(video_of(out, episode))[1][..., 2] / 255, 0.9, method="inverted_cdf")
    assert np.array(episode[f"stats/{VIDEO}/q90"])[2, 0, 0] == pytest.approx(of_one)
    assert "prompt" not in stats and set(stats) == set(info_of(out)["features"]) - {
        "prompt", "action.name", "transition", "subject", "scene", "motion",
    }  # fmt: skip


def content(out: Path) -> dict[str, Any]:
    """Return what a reader finds in a dataset, without bytes that may differ."""
    files = {path.name: path.read_text() for path in (out / "README.md", out / "meta" / "infrope.json")}
    stats = json.loads((out / "meta" / "stats.json").read_text())
    tasks = pq.read_table(out / "meta" / "tasks.parquet").to_pydict()
    videos = [packets(video_of(out, episode)) for episode in episodes_of(out)]
    return {
        "info": info_of(out), "rows": rows_of(out), "episodes": episodes_of(out), "stats": stats, "tasks": tasks,
        "videos": videos, **files,
    }  # fmt: skip


def test_an_episode_is_added_once_and_later_ones_continue_the_dataset(studio: Studio, tmp_path: Path) -> None:
    a, b, c = studio.record("a"), studio.record("bb", [FROG]), studio.record("ccc")
    add(tmp_path / "once", a, b, c)
    add(tmp_path / "later", a, b)
    again = add(tmp_path / "later", a, c, b)
    assert (again.kept, [folder for folder, _ in again.added]) == ([a, b], [c])
    assert content(tmp_path / "later") == content(tmp_path / "once")


class Killed(BaseException):
    """Ends a process between any two renames."""


def test_a_kill_between_any_two_renames_leaves_whole_episodes_and_the_export_goes_on(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = studio.record("a"), studio.record("bb", [FROG, FOX])
    add(tmp_path / "whole", a, b)
    add(tmp_path / "first", a)
    before, after = content(tmp_path / "first"), content(tmp_path / "whole")
    rename, kills = os.replace, 0
    for last in range(20):
        out = shutil.copytree(tmp_path / "first", tmp_path / f"killed{last}")
        left = [last]

        def replace(source: Path, target: Path, left: list[int] = left) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1
            rename(source, target)

        monkeypatch.setattr(lerobot.os, "replace", replace)
        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process removes nothing
        try:
            add(out, a, b)
        except Killed:
            kills += 1
            found = content(out) | {"stats": before["stats"], "tasks": before["tasks"]}  # may be those of the next
            assert found == before
        monkeypatch.undo()
        assert add(out, a, b).kept[0] == a
        assert content(out) == after
        if kills <= last:
            break
    assert kills == 8


def test_a_full_disk_is_one_sentence_and_loses_nothing(studio: Studio, tmp_path: Path) -> None:
    a, b, out = studio.record("a", [FOX]), studio.record("bb", [FROG] * 9), tmp_path / "out"
    add(out, a)
    before = content(out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, limits[1]))
        with pytest.raises(ExportError) as caught:
            add(out, a, b)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"Exporting to {out} is not possible: {os.strerror(errno.EFBIG)}. Episodes added before" in str(caught.value)
    assert content(out) == before and not (out / ".partial").exists()
    assert [place for _, place in add(out, a, b).added] == ["episode 1"]


def test_two_exports_into_one_folder_are_one_sentence(studio: Studio, tmp_path: Path) -> None:
    with lock_folder(tmp_path / "out"), pytest.raises(FolderInUse, match="Another process is writing to"):
        add(tmp_path / "out", studio.record("a"))
    assert add(tmp_path / "out", studio.record("a")).added


def test_a_folder_with_something_else_is_refused(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and was not made by an export to lerobot"):
        add(tmp_path / "out", studio.record("a"))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_an_episode_that_does_not_fit_is_left_out_and_the_others_are_added(studio: Studio, tmp_path: Path) -> None:
    small, last = studio.record("bb", size=(16, 32)), studio.record("ccc")
    other = studio.record("dddd")
    edit_meta(other, change("actions", "scenes", "moon", to={"text": "a grey moon"}))
    outcome = add(tmp_path / "out", studio.record("a"), small, other, last, tampered=True)
    assert [folder for folder, _ in outcome.added] == [studio.folder / "a" / "episode_000", last]
    assert dict(outcome.refused) == {
        small: "its video is 32x16 at 16 frames a second, expected 48x32 at 16 frames a second as in the dataset: "
        "export it to another folder",
        other: "its actions are not those of the dataset: export it to another folder",
    }
    assert info_of(tmp_path / "out")["total_episodes"] == 2


def test_an_episode_that_has_grown_since_is_left_out(studio: Studio, tmp_path: Path) -> None:
    episode = studio.record("a", [FOX] * 4, closed=False)
    log = (episode / "blocks.jsonl").read_bytes()
    (episode / "blocks.jsonl").write_bytes(b"".join(log.splitlines(keepends=True)[:2]))
    assert add(tmp_path / "out", episode).seconds == 21 / 16
    (episode / "blocks.jsonl").write_bytes(log)
    ((_, reason),) = add(tmp_path / "out", episode).refused
    assert reason.startswith("its first 2 blocks were exported before, to episode 0, and it has grown to 4")
    assert info_of(tmp_path / "out")["total_episodes"] == 1
