"""Controllers that play a script (a list of actions) or a storyboard (timed prompts).

Both controllers are functions of `info["block"]`: after a reset or a restored state they continue at the right place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from infrope_env.control.frames import Frames
from infrope_env.control.length import check_length
from infrope_env.control.storyboard import Storyboard
from infrope_env.control.storyboard_file import read_storyboard

MOST_DIGITS = 100
"""Digits of a count that are read; any count of more is too long by far."""


@dataclass(frozen=True)
class ScriptedController:
    """Controller that plays a list of actions, one per block from block 1 on, and action 0 after its end.

    Attributes:
        actions: Indices of the actions.
    """

    actions: tuple[int, ...]

    @classmethod
    def from_text(cls, text: str, names: Sequence[str]) -> ScriptedController:
        """Read a script such as "walk_right*8 jump": names of actions, each with its number of blocks, by default 1.

        Args:
            text: The script.
            names: Name of every action, by index.

        Raises:
            ValueError: The script is empty or too long, or has an unknown action or a count below 1; the message quotes
                the word.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected the script to be a text, got {type(text).__name__}")
        words = [_parse_word(word, names) for word in text.split()]
        if not words:
            raise ValueError('the script is empty, expected something like "walk_right*8 jump*2"')
        check_length(1 + sum(count for _, count in words), "the script")
        return cls(tuple(action for action, count in words for _ in range(count)))

    @property
    def total_blocks(self) -> int:
        """Blocks of the whole script, including block 0, which the reset makes."""
        return 1 + len(self.actions)

    def __call__(self, observation: Frames, info: Mapping[str, Any]) -> int:
        """Return the action of block `info["block"] + 1`."""
        block = int(info["block"])
        return self.actions[block] if block < len(self.actions) else 0


class StoryboardController:
    """Controller that sets the prompts of a storyboard, each at its block, and repeats the motion in force.

    The reset makes block 0: pass `first_prompt` in its options.

    Attributes:
        storyboard: The storyboard.
        shots: Its shots, with the blocks that are played.
        starts: Index of the first block of each shot.
        total_blocks: Number of blocks of the whole storyboard.
    """

    def __init__(self, storyboard: Storyboard, set_prompt: Callable[[str, bool], object], names: Sequence[str]) -> None:
        """Prepare to follow a storyboard.

        Args:
            storyboard: The storyboard.
            set_prompt: The environment's `set_prompt(text, cut)`.
            names: Name of every action, by index.
        """
        self.storyboard = storyboard
        self.shots = storyboard.played()
        self.starts = tuple(accumulate((shot.blocks for shot in self.shots), initial=0))[:-1]
        self.total_blocks = storyboard.total_blocks
        self._set_prompt = set_prompt
        self._names = tuple(names)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        set_prompt: Callable[[str, bool], object],
        names: Sequence[str],
        compat: str | None = None,
        block: int = 3,
        line: int | None = None,
    ) -> StoryboardController:
        """Read a storyboard file.

        Args:
            path: Text file with one storyboard, or one on every line.
            set_prompt: The environment's `set_prompt(text, cut)`.
            names: Name of every action, by index.
            compat: Dialect of the file, as in `storyboard.parse`.
            block: Latent frames per block.
            line: Line of the file to play, from 1; None plays the whole file as one storyboard.

        Raises:
            ValueError: The file cannot be read or has a mistake; the message begins with its path.
        """
        return cls(read_storyboard(path, compat, block, line), set_prompt, names)

    @property
    def first_prompt(self) -> str:
        """The prompt of block 0."""
        return self.shots[0].prompt

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt of the storyboard, in order, to be encoded ahead."""
        return tuple(shot.prompt for shot in self.shots)

    def __call__(self, observation: Frames, info: Mapping[str, Any]) -> int:
        """Set the prompt of the next block unless it is in force, and return the motion in force.

        The motion in force is the one action that keeps a prompt, whether the prompt is free or derived from names.
        """
        block = int(info["block"]) + 1
        index = max(i for i, start in enumerate(self.starts) if start <= block)  # the last shot has no end
        shot = self.shots[index]
        cut = shot.cut and self.starts[index] == block
        if cut or info["prompt"] != shot.prompt:
            self._set_prompt(shot.prompt, cut)
        return self._names.index(info["motion"])


def _parse_word(word: str, names: Sequence[str]) -> tuple[int, int]:
    """Return action and number of blocks of one word of a script, such as "jump*2"."""
    name, _, count = word.partition("*")
    if name not in names:
        raise ValueError(f"expected actions among {', '.join(names)} in the script, got {name[:80]!r}")
    if "*" not in word:
        return names.index(name), 1
    if not (count.isascii() and count.isdigit() and count.strip("0")):
        raise ValueError(f'expected a number of blocks after "*" in the script, got {word[:80]!r}')
    return names.index(name), int(count.lstrip("0")[:MOST_DIGITS])
