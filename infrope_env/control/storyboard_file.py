"""Storyboard files: one storyboard in a file, or one on every line; LongLive's JSON lines and WBench's cases too."""

from __future__ import annotations

import json
from typing import Any

from infrope_env.control.length import check_length
from infrope_env.control.storyboard import UNTIMED_BLOCKS, Shot, Storyboard, parse
from infrope_env.control.text_file import read_text
from infrope_env.control.wbench_case import case_storyboard, is_case
from infrope_env.errors import shown
from infrope_env.regular_file import as_path

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
JSON_FORM = 'one JSON object on each line, {"prompts": ["...", "..."]}, as in the files of LongLive'


def read_storyboard(path: object, compat: str | None = None, block: int = 3, line: int | None = None) -> Storyboard:
    """Read a storyboard from a text file.

    Args:
        path: Path of the file.
        compat: Dialect, as in `storyboard.parse`.
        block: Latent frames per block.
        line: Line to read, from 1, of a file with a storyboard or a prompt on each line; None reads the whole file as
            one storyboard, which must then have one.

    Raises:
        TypeError: `path` is no path.
        ValueError: The file cannot be read, has several storyboards or a mistake; the message begins with its path.
    """
    file = as_path(path, "a storyboard")
    lines = read_text(file).split("\n")
    filled = [number for number, text in enumerate(lines, start=1) if text.strip()]
    choice = f"Choose one with --line {filled[0]} to --line {filled[-1]}." if len(filled) > 1 else ""
    is_json = file.suffix.lower() in JSON_SUFFIXES or "".join(lines).lstrip().startswith("{")
    try:
        if is_json and line is None and is_case(case := _parse_whole("\n".join(lines))):
            return case_storyboard(case, block)
        if line is None and choice and (is_json or compat == "release"):
            dialect = "of LongLive" if is_json else "one on each line as the release reads it"
            raise ValueError(f"{len(filled)} storyboards, {dialect}.")
        text = "\n".join(lines).strip() if line is None else _line(lines, line)
        return _from_json(text, block) if is_json else parse(text, compat, block)
    except ValueError as error:
        hint = choice if line is None else ""
        raise ValueError(f"{file}{'' if line is None else f', line {shown(line)}'}: {error} {hint}".rstrip()) from error


def _line(lines: list[str], number: int) -> str:
    if not isinstance(number, int) or not 1 <= number <= len(lines):
        raise ValueError(f"expected a line from 1 to {len(lines)}")
    if not lines[number - 1].strip():
        raise ValueError("the line is empty")
    return lines[number - 1].strip()


def _parse_whole(text: str) -> Any:
    """Return the content of a file that is one JSON value; None when it is not."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_json(text: str, block: int) -> Storyboard:
    """Return the storyboard of a JSON line: its prompts one after another, without durations or cuts."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected {JSON_FORM}: not valid JSON.") from error
    prompts = entry.get("prompts") if isinstance(entry, dict) else None
    if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) and p.strip() for p in prompts):
        raise ValueError(f"expected {JSON_FORM}, got {shown(entry)}.")
    check_length(UNTIMED_BLOCKS * len(prompts), "the storyboard")
    return Storyboard(tuple(Shot(" ".join(text.split()), UNTIMED_BLOCKS, cut=False) for text in prompts), (), block)
