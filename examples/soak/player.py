"""A random player: actions, prompts, cuts, saved and restored states, resets, environments closed and made again.

It also checks what must hold however long the run is: a restored state, in this environment or in a new one, goes on
with the same pixels; a reset with the same seed gives the same first block; a refused prompt changes nothing; all
latents are finite.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from infrope_env.control.idle import idle_action
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import EnvState
from infrope_env.recording.episode import frames_digest
from infrope_env.text.encoder import PocketTextEncoder

PROBABILITIES = {
    "act": 0.62,
    "cut": 0.08,
    "prompt": 0.12,
    "refused": 0.02,
    "save": 0.06,
    "restore": 0.06,
    "reset": 0.03,
    "reopen": 0.01,
}
"""Probability of every operation before a block."""
STATES_KEPT = 4
SEEDS = 4  # of the resets: few, so that every first block comes again
MOST_WORDS = 16  # of a prompt of random words
NO_WORD = "xyzzy"


class Diverged(AssertionError):
    """Pixels that must be the same are not, or latents are not finite."""


@dataclass(frozen=True)
class SavedBlock:
    """A saved state and the block that followed it.

    Attributes:
        state: The state.
        action: Action of the block.
        digest: Digest of its pixel frames.
    """

    state: EnvState
    action: int
    digest: str


class RandomPlayer:
    """Plays one block per turn, after a random operation.

    Attributes:
        env: The environment in use, with its wrappers.
        blocks: Blocks made so far.
    """

    def __init__(
        self,
        make_env: Callable[[], gymnasium.Env[Any, Any]],
        folder: Path,
        seed: int,
        on_block: Callable[[Callable[[], Any]], Any] = lambda make_block: make_block(),
    ) -> None:
        """Make the first environment; the first turn resets it.

        Args:
            make_env: Returns a new environment, with any wrappers.
            folder: Folder of the state on disk.
            seed: Seed of all decisions.
            on_block: Calls a function that makes a block and returns its result; a measurement may go around it.
        """
        self._make_env, self._on_block = make_env, on_block
        self._rng = np.random.default_rng(seed)
        self._file = folder / "state.pickle"
        self._states: deque[SavedBlock] = deque(maxlen=STATES_KEPT)
        self._first_blocks: dict[tuple[int, str], str] = {}
        self.blocks = 0
        self.env = make_env()
        names = self.inner.action_names
        self._cuts = [index for index, name in enumerate(names) if name.startswith("cut_")]
        self._motions = [index for index in range(len(names)) if index not in self._cuts]
        encoder, prompts = self.inner.model.text_encoder, self.inner.action_set.prompts()
        self._prompts = prompts
        self._words = (
            encoder.known_words
            if isinstance(encoder, PocketTextEncoder)
            else tuple(sorted({word for prompt in prompts for word in prompt.split()}))
        )

    @property
    def inner(self) -> InfinityRopeEnv:
        """The environment without wrappers."""
        env = self.env.unwrapped
        assert isinstance(env, InfinityRopeEnv)
        return env

    def turn(self) -> str:
        """Do a random operation and make its block; return the name of the operation.

        Raises:
            Diverged: Pixels differ from those of the same state, or of the same seed, before.
        """
        if self.inner.newest is None:
            name = "reset"
        else:
            name = str(self._rng.choice(list(PROBABILITIES), p=list(PROBABILITIES.values())))
        if name in ("restore", "reopen") and not self._states:
            name = "save"
        getattr(self, f"_{name}")()
        return name

    def close(self) -> None:
        """Close the environment in use."""
        self.env.close()

    def _act(self) -> None:
        self._step(self._pick(self._motions))

    def _cut(self) -> None:
        self._step(self._pick(self._cuts))

    def _prompt(self) -> None:
        """Put a text in force: one of the action set's, or random words of the vocabulary."""
        count = int(self._rng.integers(1, MOST_WORDS + 1))
        known = self._rng.random() < 0.5
        text = str(self._rng.choice(self._prompts)) if known else " ".join(self._rng.choice(self._words, count))
        self.inner.set_prompt(text, cut=bool(self._rng.random() < 0.3))
        assert self.inner.newest is not None
        self._step(idle_action(self.inner.newest[1] | {"free_prompt": True}, self.inner.action_names))

    def _refused(self) -> None:
        """Ask for a prompt with an unknown word, then go on."""
        before = self.inner.steering
        try:
            self.inner.set_prompt(f"a {NO_WORD}")
        except ValueError:
            if self.inner.steering != before:
                raise Diverged(f"block {self.blocks}: a refused prompt has changed the steering") from None
        self._act()

    def _save(self) -> None:
        state, action = self.inner.save_state(), self._pick(self._motions)
        self._states.append(SavedBlock(state, action, self._step(action)))

    def _restore(self) -> None:
        self._resume(self._states[self._pick(range(len(self._states)))])

    def _reset(self) -> None:
        seed = self._pick(range(SEEDS))
        subject = str(self._rng.choice(list(self.inner.action_set.subjects)))
        digest = self._made(lambda: self.env.reset(seed=seed, options={"subject": subject}))
        if digest != self._first_blocks.setdefault((seed, subject), digest):
            raise Diverged(f"block {self.blocks}: the first block of seed {seed} is not what it was before")

    def _reopen(self) -> None:
        """Write a state to disk, close the environment, and go on in a new one from the file."""
        self._file.write_bytes(pickle.dumps(self._states[-1]))
        self.env.close()
        self.env = self._make_env()
        self.env.reset(seed=0)
        self._resume(pickle.loads(self._file.read_bytes()))

    def _resume(self, saved: SavedBlock) -> None:
        self.inner.restore_state(saved.state)
        if self._step(saved.action) != saved.digest:
            raise Diverged(f"block {self.blocks}: a restored state does not go on as it did")

    def _pick(self, choices: Any) -> int:
        return int(self._rng.choice(choices))

    def _step(self, action: int) -> str:
        return self._made(lambda: self.env.step(action))

    def _made(self, make_block: Callable[[], tuple[Any, ...]]) -> str:
        """Make a block; return the digest of its observation."""
        observation, *_ = self._on_block(make_block)
        self.blocks += 1
        if not torch.isfinite(self.inner.latents).all():
            raise Diverged(f"block {self.blocks}: the latents are not finite")
        return frames_digest(observation)
