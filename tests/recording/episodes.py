"""Helpers to record episodes of the tiny world and to edit them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

import infrope_env  # noqa: F401  registers the environments
from infrope_env.recording.wrapper import RecordRollout

STAND, WALK_RIGHT, JUMP, CUT_DESERT = 0, 2, 3, 7


def record(weights: Path, folder: Path, **kwargs: Any) -> Any:
    env = gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), disable_env_checker=True, **kwargs)
    return RecordRollout(env, folder)


def lines_of(episode: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (episode / "blocks.jsonl").read_text().splitlines()]


def edit_log(episode: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    lines = lines_of(episode)
    change(lines)
    (episode / "blocks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_meta(episode: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads((episode / "meta.json").read_text())
    change(meta)
    (episode / "meta.json").write_text(json.dumps(meta))


def nested(levels: int) -> Any:
    """Return a list in a list in a list ..."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit of the entry at a path, with a name for test ids."""

    def apply(meta: dict[str, Any]) -> None:
        for key in path[:-1]:
            meta = meta[key]
        meta[path[-1]] = to

    name = str(to)
    apply.__name__ = f"{'.'.join(path)}={name[:30]}"
    return apply
