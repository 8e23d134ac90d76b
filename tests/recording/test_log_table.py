"""The log is a table: every entry has one type in all lines of all episodes, and what steps return is in it."""

import io
import json
from pathlib import Path

import pyarrow.json

from infrope_env.recording import verify
from infrope_env.recording.episode import BlockRecord, chain_digest
from infrope_env.recording.reader import Recording
from tests.recording.episodes import JUMP, STAND, edit_meta, lines_of, record


def ends_in_a_jump(frames: object, info: dict[str, object]) -> tuple[float, bool]:
    return 0.5 * int(str(info["block"])), info["motion"] == "jump"


def unbounded(frames: object, info: dict[str, object]) -> float:
    return float("nan") if info["block"] == 1 else 1e300


def as_format_1(episode: Path) -> None:
    """Rewrite a recording as format 1 was written."""

    def keep_first_entries(meta: dict[str, object]) -> None:
        meta["format"] = 1
        chain = chain_digest("", {key: value for key, value in meta.items() if key != "closed"})
        lines = lines_of(episode)
        for line in lines:
            for key in ("reward", "terminated", "truncated", "compiled", "chain"):
                del line[key]
            line["action"] = line["action"] if line["block"] else None
            line["asked"] = {key: line["asked"][key] for key in ("text", "cut")} if line["asked"]["given"] else None
            line["chain"] = chain = chain_digest(chain, line)
        (episode / "blocks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        meta["closed"] = {"blocks": len(lines), "chain": chain}

    edit_meta(episode, keep_first_entries)


def test_a_recording_of_format_1_replays_as_it_did(episode: Path) -> None:
    newest = Recording.read(episode)
    as_format_1(episode)
    assert verify(episode).summary() == "episode_000: 6 blocks replayed: every block is the same."
    before = Recording.read(episode)
    for old, new in zip(before.blocks, newest.blocks, strict=True):
        assert (old.action, old.asked, old.sha256) == (new.action, new.asked, new.sha256)
        assert (old.reward, new.reward) == (None, 0.0)


def test_a_change_of_a_recording_of_format_1_is_detected(episode: Path) -> None:
    as_format_1(episode)
    log = (episode / "blocks.jsonl").read_text()
    (episode / "blocks.jsonl").write_text(log.replace("green frog", "orange fox"))
    assert "was changed after it was written" in verify(episode).tampering[0]


def schemas(*episodes: Path) -> set[str]:
    """Return the schemas that a reader of tables infers from each line alone."""
    lines = [line for episode in episodes for line in (episode / "blocks.jsonl").read_bytes().splitlines()]
    return {str(pyarrow.json.read_json(io.BytesIO(line)).schema) for line in lines}


def test_every_line_of_every_episode_has_the_same_types(episode: Path, short_episode: Path) -> None:
    (schema,) = schemas(episode, short_episode)
    assert "asked: struct<given: bool, text: string, cut: bool>" in schema and "null" not in schema
    assert "action: int64" in schema and "reward: double" in schema and "truncated: bool" in schema
    as_format_1(episode)
    assert len(schemas(episode)) == 3  # a null action, a null prompt, a prompt


def test_reward_and_end_of_a_rollout_are_logged(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path, reward=f"{__name__}:ends_in_a_jump", max_blocks=3)
    env.reset(seed=1)
    returned = [env.step(action)[1:4] for action in (STAND, JUMP)]
    env.close()
    logged = [(line["reward"], line["terminated"], line["truncated"]) for line in lines_of(tmp_path / "episode_000")]
    assert logged == [(0.0, False, False), *returned] == [(0.0, False, False), (0.5, False, False), (1.0, True, True)]
    assert Recording.read(tmp_path / "episode_000").blocks[-1].terminated


def test_a_reward_that_is_no_finite_number_is_null_and_the_recording_stays_whole(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path, reward=f"{__name__}:unbounded")
    env.reset(seed=1)
    env.step(STAND)
    env.step(STAND)
    env.close()
    report = verify(tmp_path / "episode_000")
    assert report.ok and not report.tampering
    assert [line["reward"] for line in lines_of(tmp_path / "episode_000")] == [0.0, None, 1e300]


def test_an_empty_prompt_differs_from_none() -> None:
    names = {"subject": "fox", "scene": "snow", "motion": "stand", "prompt": "", "transition": "switch"}
    for asked in ({"given": True, "text": "", "cut": False}, {"given": False, "text": "", "cut": False}):
        record_read = BlockRecord.from_json({"block": 1, "action": 0, "asked": asked, **names, "sha256": ""})
        assert record_read.to_json()["asked"] == asked
