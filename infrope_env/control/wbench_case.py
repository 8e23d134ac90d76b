"""Cases of the benchmark WBench as storyboards: one shot per turn, all of one length.

A turn changes the prompt. A prompt of ours says everything that is to be seen, so every shot has the description of
the case's scene and subject, and then the turn's instruction; keys of a navigation turn become words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infrope_env.control.storyboard import Shot, Storyboard, blocks_in
from infrope_env.errors import shown

TURN_SECONDS = 4.0
"""Duration of a turn (WBench)."""
MOST_TURNS = 1000
FIRST_PERSON = {
    "W": "moves forward",
    "S": "moves backward",
    "A": "moves to the left",
    "D": "moves to the right",
    "left": "turns to the left",
    "right": "turns to the right",
    "up": "tilts up",
    "down": "tilts down",
}
"""Words of a navigation key, for the camera."""
THIRD_PERSON = {
    "W": "the subject walks forward and the camera follows",
    "S": "the subject walks backward and the camera backs away",
    "A": "the subject walks to the left and the camera follows",
    "D": "the subject walks to the right and the camera follows",
    "left": "the camera circles the subject to the left",
    "right": "the camera circles the subject to the right",
    "up": "the camera rises and looks down at the subject",
    "down": "the camera sinks and looks up at the subject",
}
"""Words of a navigation key, where the camera sees the subject."""
SWITCHES = {
    "fp_to_tp": "The view changes from the subject's eyes to behind the subject.",
    "tp_to_fp": "The view changes from behind the subject to the subject's eyes.",
}
CONTEXT = ("environment_prompt", "character_prompt", "perspective_prompt")


def is_case(content: object) -> bool:
    """Return whether parsed JSON is a case."""
    return isinstance(content, Mapping) and "interactions" in content


def case_prompts(case: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prompt of every turn.

    Raises:
        ValueError: An entry is missing or has another type.
    """
    turns, settings = case.get("interactions"), case.get("settings") or {}
    if not isinstance(turns, list) or not 0 < len(turns) <= MOST_TURNS or not isinstance(settings, Mapping):
        raise ValueError(f"expected a case of WBench with 1 to {MOST_TURNS} interactions, got {shown(turns)}")
    context = [_text(case, key) for key in CONTEXT]
    third_person = settings.get("perspective") == "third_person"
    return tuple(_join([*context, _instruction(turn, third_person)]) for turn in turns)


def case_storyboard(case: Mapping[str, Any], block: int, seconds: float = TURN_SECONDS) -> Storyboard:
    """Return the storyboard of a case: every turn is a shot of as many whole blocks as fit into its seconds.

    Raises:
        ValueError: The case has a mistake.
    """
    blocks = blocks_in(seconds, block)
    return Storyboard(tuple(Shot(prompt, blocks, cut=False) for prompt in case_prompts(case)), (), block)


def _instruction(turn: object, third_person: bool) -> str:
    if not isinstance(turn, Mapping):
        raise ValueError(f"expected an interaction to be an object, got {shown(turn)}")
    action, kind = _text(turn, "action"), turn.get("type")
    if prompt := _text(turn, "prompt"):
        return prompt
    if not action:
        raise ValueError(f"expected an interaction to have an action, got {shown(dict(turn))}")
    return _navigation(action, third_person) if kind == "navigation" else SWITCHES.get(action, action)


def _navigation(keys: str, third_person: bool) -> str:
    """Return the sentence of navigation keys: "W+left" is "The camera moves forward and turns to the left."."""
    words = THIRD_PERSON if third_person else FIRST_PERSON
    pressed = [key.strip() for key in keys.split("+")]
    if unknown := [key for key in pressed if key not in words]:
        raise ValueError(f"expected navigation keys among {', '.join(words)}, got {shown(unknown[0])}")
    sentence = ", and ".join(words[key] for key in pressed) if third_person else " and ".join(words[k] for k in pressed)
    return f"{sentence[0].upper()}{sentence[1:]}." if third_person else f"The camera {sentence}."


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key) or ""
    if not isinstance(value, str):
        raise ValueError(f"expected {key} to be a text, got {shown(value)}")
    return " ".join(value.split())


def _join(sentences: list[str]) -> str:
    """Return sentences as one text, each with an end."""
    return " ".join(text if text[-1] in ".!?" else f"{text}." for text in sentences if text)
