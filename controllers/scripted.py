"""Actions and prompts written down beforehand.

Both controllers are functions of `info["block"]`: after a reset or a restored state they go on from the right place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrope_env.control.storyboard import Shot, Storyboard, parse


@dataclass(frozen=True)
class ScriptedController:
    """Plays a list of actions, one per block from block 1 on, and action 0 after its end."""

    actions: tuple[int, ...]

    @classmethod
    def from_text(cls, text: str, names: Sequence[str]) -> ScriptedController:
        """Read "walk_right*8 jump": names of actions, each with how many blocks it lasts, 1 when left out.

        Raises:
            ValueError: an unknown action or a count below 1; the sentence names the word.
        """
        words = [_read(word, names) for word in text.split()]
        if not words:
            raise ValueError('the script is empty, expected something like "walk_right*8 jump*2"')
        return cls(tuple(action for action, count in words for _ in range(count)))

    @property
    def total_blocks(self) -> int:
        """Blocks of the whole script, the first one, which no action makes, included."""
        return 1 + len(self.actions)

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """The action of block info["block"] + 1."""
        block = int(info["block"])
        return self.actions[block] if block < len(self.actions) else 0


class StoryboardController:
    """Puts the prompts of a storyboard in force, each at its block; its actions leave them alone.

    Block 0 is made by `reset`: pass `first_prompt` in its options.
    """

    def __init__(self, storyboard: Storyboard, set_prompt: Callable[[str, bool], object], names: Sequence[str]) -> None:
        """Follow `storyboard` through `set_prompt(text, cut)`, the environment's own; `names` are its actions'."""
        self.shots = storyboard.played()
        self.starts = tuple(accumulate((shot.blocks for shot in self.shots), initial=0))[:-1]
        self.total_blocks = storyboard.total_blocks
        self.storyboard = storyboard
        self._set_prompt = set_prompt
        self._names = tuple(names)

    @classmethod
    def from_file(
        cls,
        path: Path,
        set_prompt: Callable[[str, bool], object],
        names: Sequence[str],
        compat: str | None = None,
        block: int = 3,
    ) -> StoryboardController:
        """Read a storyboard file; `compat` and `block` as in `storyboard.parse`.

        Raises:
            ValueError: the file cannot be read or has a mistake; the sentence begins with its path.
        """
        try:
            storyboard = parse(_one_storyboard(path.read_text(encoding="utf-8"), compat), compat, block)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(storyboard, set_prompt, names)

    @property
    def first_prompt(self) -> str:
        """The prompt of block 0."""
        return self.shots[0].prompt

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt that will be in force, in order, to be encoded ahead."""
        return tuple(shot.prompt for shot in self.shots)

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """Set the next block's prompt when it is not in force, and ask for the motion that already is."""
        block = int(info["block"]) + 1
        shot, begins = self._shot_of(block)
        cut = begins and shot.cut
        if cut or info["prompt"] != shot.prompt:
            self._set_prompt(shot.prompt, cut)
        return self._names.index(info["motion"])

    def _shot_of(self, block: int) -> tuple[Shot, bool]:
        """The shot a block belongs to (the last one goes on for ever), and whether the block begins it."""
        i = max(i for i, start in enumerate(self.starts) if start <= block)
        return self.shots[i], self.starts[i] == block


def _one_storyboard(text: str, compat: str | None) -> str:
    """A file's text, when it is one storyboard: the release makes a video of every line."""
    lines = [line for line in text.splitlines() if line.strip()]
    if compat == "release" and len(lines) > 1:
        raise ValueError(
            f"{len(lines)} storyboards, one on each line as the release reads it. Put the one to play in its own file."
        )
    return text.strip()


def _read(word: str, names: Sequence[str]) -> tuple[int, int]:
    name, _, count = word.partition("*")
    if name not in names:
        raise ValueError(f"expected actions among {', '.join(names)} in the script, got {name!r}")
    if "*" in word and not (count.isascii() and count.isdigit() and int(count)):
        raise ValueError(f'expected a number of blocks after "*" in the script, got {word!r}')
    return names.index(name), int(count or 1)
