"""The facts of an environment that every client is told: its actions, buttons, commands, sizes and prompts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np

from infrope_env.control.actions import Action, ActionSet
from infrope_env.control.frames import Frames
from infrope_env.control.key_names import WINDOW_COMMANDS, command_keys
from infrope_env.control.playable import playable
from infrope_env.player.inspection import InspectableEnv
from infrope_env.remote.frame_encoding import codec_string, encode_frames
from infrope_env.remote.live_play import button_key

MOST_PRESETS = 12


@dataclass(frozen=True)
class WorldFacts:
    """The facts of an environment.

    Attributes:
        env: Id of the environment.
        block_shape: Shape of an observation, t H W 3.
        frame_rate: Pixel frames per second.
        action_set: Words and keys of the world.
        window: Every field of the attention window.
        pictures: Whether a rollout can start from a picture.
        codec: Name of its H.264 for WebCodecs.
        is_inspectable: Whether it tells what its blocks see.
    """

    env: str
    block_shape: tuple[int, ...]
    frame_rate: int
    action_set: ActionSet
    window: dict[str, Any]
    pictures: bool
    codec: str
    is_inspectable: bool

    @classmethod
    def of(cls, env: gymnasium.Env[Frames, Any]) -> WorldFacts:
        """Return the facts of an environment."""
        player, fps = playable(env), env.metadata["render_fps"]
        grey = np.full((2, *player.block_shape[1:]), 128, np.uint8)
        model = getattr(player, "model", None)
        return cls(
            env=env.spec.id if env.spec else type(player).__name__,
            block_shape=tuple(player.block_shape),
            frame_rate=fps,
            action_set=player.action_set,
            window=asdict(player.window),
            pictures=getattr(model, "encoder", None) is not None,
            codec=codec_string(encode_frames(grey, "h264", fps)),
            is_inspectable=isinstance(player, InspectableEnv),
        )

    def for_welcome(self) -> dict[str, Any]:
        """Return the fields of the welcome that do not depend on the client."""
        return {
            "env": self.env,
            "block_shape": list(self.block_shape),
            "frame_rate": self.frame_rate,
            "actions": self.action_set.to_dict(),
            "buttons": [_button(index, action) for index, action in enumerate(self.action_set.actions)],
            "commands": self._commands(),
            "presets": self._presets(),
            "window": self.window,
            "pictures": self.pictures,
        }

    def _commands(self) -> list[dict[str, Any]]:
        bound = {key for keys in self.action_set.keys_to_action() for key in keys}
        by_key = command_keys(bound)
        return [
            {
                "name": command.name,
                "keys": [key for key, name in by_key.items() if name == command.name],
                "label": command.label,
                "effect": command.effect,
            }
            for command in WINDOW_COMMANDS
            if command.name != "inspector" or self.is_inspectable
        ]

    def _presets(self) -> list[str]:
        """Return prompts in which every subject, scene and motion comes up soon."""
        actions = self.action_set
        groups = [list(actions.subjects), list(actions.scenes), list(actions.motions)]
        names = [[group[i % len(group)] for group in groups] for i in range(MOST_PRESETS)]
        return list(dict.fromkeys(actions.prompt_for(*each) for each in names))


def _button(index: int, action: Action) -> dict[str, Any]:
    return {
        "action": index,
        "name": action.name,
        "label": action.name.replace("_", " ").replace("cut ", "cut to "),
        "kind": "motion" if action.scene is None else "cut",
        "keys": list(action.keys),
        "key": button_key(action.name),
    }
