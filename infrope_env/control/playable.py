"""The interface of an environment that wrappers, players and recordings use, through any wrappers around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Steering
from infrope_env.control.frames import Frames
from infrope_env.errors import shown


@runtime_checkable
class PlayableEnv(Protocol):
    """An environment that a player can steer, such as `InfinityRopeEnv`.

    Attributes:
        action_set: Words and keys of the world.
        action_names: Name of every action, by index.
        block_shape: Shape of an observation, t H W 3.
        window: Sizes and rules of the attention window.
        steering: Subject, scene, motion and prompt in force.
        newest: Observation and info of the newest block, read-only; None before the first reset.
        restores: Number of states restored since the environment was made.
    """

    action_set: ActionSet
    action_names: tuple[str, ...]
    block_shape: tuple[int, ...]
    window: Window
    steering: Steering
    newest: tuple[Frames, dict[str, Any]] | None
    restores: int

    def set_prompt(self, text: str, cut: bool = False) -> None:
        """Put free text in force from the next block on."""

    def encode_prompts(self, texts: Iterable[str]) -> None:
        """Encode prompts ahead of play."""

    def commit(self) -> None:
        """Run the commit pass of the newest block if it is due; otherwise the next block begins with it."""

    def save_state(self) -> Any:
        """Return a copy of everything that the future depends on."""

    def restore_state(self, state: Any) -> tuple[Frames, dict[str, Any]]:
        """Go back to a saved state; return observation and info of its newest block."""


def playable(env: Any) -> PlayableEnv:
    """Return the steerable environment inside `env`, a `gymnasium.Env` with any wrappers.

    Raises:
        ValueError: The innermost environment cannot be steered.
    """
    inner = getattr(env, "unwrapped", env)
    if not isinstance(inner, PlayableEnv):
        raise ValueError(f"expected an infrope environment such as infrope/PocketWorld-v0, got {shown(inner)}")
    return inner


def newest_block_id(env: Any) -> tuple[int, dict[str, Any] | None]:
    """Return what identifies the newest block of `env`: the number of restored states, and the block's info.

    It changes whenever a block is made, a state is restored, or a block is interrupted, which leaves no info. A wrapper
    compares it to notice what was done to the environment without it. An environment that cannot be steered has none.
    """
    inner = env.unwrapped
    newest = getattr(inner, "newest", None)
    return getattr(inner, "restores", 0), None if newest is None else dict(newest[1])
