"""The environment over the network: the same spaces, infos and pixels as on the server."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete

from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Steering
from infrope_env.control.frames import Frames, fill_block, valid_frames
from infrope_env.control.reset_options import ResetOptions
from infrope_env.env_render import FRAMES_PER_SECOND, RENDER_MODES, Renderer, check_render_mode
from infrope_env.env_state import Action
from infrope_env.errors import shown
from infrope_env.pixels.picture_file import Picture, read_picture
from infrope_env.player.key_codes import key_code
from infrope_env.remote.client import Answer, RemoteConnection
from infrope_env.remote.client_errors import CommandError, RemoteError
from infrope_env.remote.client_messages import Command, EncodePrompts, Forget, Reset, Restore, Save, SetPrompt, Step
from infrope_env.remote.message import Message
from infrope_env.remote.server_messages import Result, Seat

logger = logging.getLogger(__name__)

ERRORS: dict[str, type[Exception]] = {"ResetNeeded": ResetNeeded, "TypeError": TypeError, "RuntimeError": RuntimeError}
"""Errors of the server by name; the others are ValueErrors."""


@dataclass(frozen=True, eq=False)
class RemoteState:
    """A handle of a state that the server keeps, until this object is gone or the environment closed.

    Attributes:
        handle: Its name on the server.
        observation: Observation of its newest block, t H W 3.
        info: Info of its newest block.
    """

    handle: str
    observation: Frames
    info: dict[str, Any]


class RemoteEnv(gymnasium.Env[Frames, Action]):
    """An environment on a server that `infrope serve` has started; each has a rollout of its own there.

    A lost connection comes back by itself; a step that was under way is executed once.

    Attributes:
        action_set: Words and keys of the world.
        action_names: Name of every action, by index.
        block_shape: Shape of an observation, t H W 3.
        window: Sizes and rules of the attention window.
        steering: Subject, scene, motion and prompt in force.
        newest: Observation and info of the newest block, read-only; None before the first reset.
        restores: Number of states restored so far.
        timings: Seconds that the newest block took on the server, by part.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012

    def __init__(
        self, url: str, token: str | None = None, render_mode: str | None = None, give_up_s: float = 60.0
    ) -> None:
        """Connect, and wait for a free place on the server.

        Args:
            url: URL that the server printed.
            token: Token of the server; None takes that of the URL.
            render_mode: One of metadata["render_modes"]; None disables rendering.
            give_up_s: Seconds without a connection after which a call fails.

        Raises:
            RemoteError: There is no server, or it refused the connection.
            ValueError: The URL is none of a server, or there is no such render mode.
        """
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._seated = threading.Event()
        self._connection = RemoteConnection(
            url,
            token=token,
            role="agent",
            encodings=("raw",),
            client="infrope Remote-v0",
            give_up_s=give_up_s,
            on_message=self._handle_message,
            on_connection=self._handle_connection,
        )
        self._closed = False
        welcome = self._connection.open()
        self._wait_for_seat()
        self.action_set = ActionSet.from_dict(welcome.actions, "the server's action set")
        self.action_names = self.action_set.names
        self.block_shape = tuple(welcome.block_shape)
        self.window = Window(**welcome.window)
        self.observation_space = Box(0, 255, self.block_shape, np.uint8)
        self.action_space = Discrete(len(self.action_names))
        self.steering = self.action_set.start()
        self.newest: tuple[Frames, dict[str, Any]] | None = None
        self.restores, self.timings = 0, dict[str, float]()
        self._forgotten: deque[str] = deque()  # handles of states that nobody holds any more
        height, width = self.block_shape[1:3]
        self._renderer = Renderer((height, width), title=f"infrope: {welcome.env}")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Start a rollout and make block 0, as `InfinityRopeEnv.reset` does; an image is sent to the server.

        Raises:
            RemoteError: The server is gone.
            ValueError: An option or name is unknown, or the server cannot read the prompt or the image.
        """
        start = ResetOptions.parse(options)
        picture = None if start.image is None else _picture(start.image)
        super().reset(seed=seed)
        self._renderer.begin_episode(self.render_mode)
        body = None if picture is None else picture.tobytes()
        size = [] if picture is None else list(picture.shape[:2])
        seed = None if seed is None else int(seed)
        self.newest = None
        return self._advance(Reset, body, seed=seed, options=start.texts, raw_picture=size)[1:]

    def step(self, action: Action) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Make the next block under an action, as `InfinityRopeEnv.step` does.

        Raises:
            RemoteError: The server is gone.
            ResetNeeded: Before the first reset.
            ValueError: There is no such action.
        """
        self._require_reset("step")
        if not self.action_space.contains(action):
            raise ValueError(f"expected an action from 0 to {len(self.action_names) - 1}, got {shown(action)}")
        result, observation, info = self._advance(Step, action=int(action))
        truncated = result.truncated or self._renderer.window_closed
        return observation, result.reward, result.terminated, truncated, info

    def render(self) -> Frames | list[Frames] | None:  # type: ignore[override]
        """Return the newest pixel frame ("rgb_array") or all since the last call ("rgb_array_list"); otherwise None."""
        observation, _ = self._require_reset("render")
        return self._renderer.render(observation, self.render_mode)

    def close(self) -> None:
        """Leave the server, which forgets the rollout and its states, and close the window."""
        if not self._closed:
            self._closed = True
            self._connection.close()
        if hasattr(self, "_renderer"):
            self._renderer.close()

    def set_prompt(self, text: str, cut: bool = False) -> None:
        """Put free text in force from the next block on, as `InfinityRopeEnv.set_prompt` does.

        Raises:
            ResetNeeded: Before the first reset.
            ValueError: The text encoder cannot read the text; nothing has changed.
        """
        self._require_reset("set_prompt")
        steering = self.action_set.set_prompt(self.steering, text)
        self._ask(SetPrompt, text=text, cut=bool(cut))
        self.steering = steering

    def encode_prompts(self, texts: Iterable[str]) -> None:
        """Encode prompts on the server ahead of play; ValueError when the text encoder cannot read one of them."""
        self._ask(EncodePrompts, texts=list(texts))

    def commit(self) -> None:
        """Do nothing: the server runs the commit pass of every block while its pixels are on their way."""

    def save_state(self) -> RemoteState:
        """Return a handle of a copy, on the server, of everything that the future depends on.

        Raises:
            ResetNeeded: Before the first reset.
            ValueError: The server keeps no more states.
        """
        observation, info = self._require_reset("save_state")
        self._forget()
        result, _ = self._ask(Save)
        state = RemoteState(result.handle, observation.copy(), dict(info))
        weakref.finalize(state, self._forgotten.append, result.handle)
        return state

    def restore_state(self, state: RemoteState) -> tuple[Frames, dict[str, Any]]:
        """Go back to a saved state, which stays usable; return observation and info of its newest block.

        Raises:
            ValueError: It was saved by another environment.
        """
        restored = self._advance(Restore, handle=state.handle)
        self.restores += 1
        return restored[1:]

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Return the action of every key binding in pygame's key codes, as `gymnasium.utils.play` expects it."""
        bindings = self.action_set.keys_to_action()
        return {tuple(key_code(name) for name in names): action for names, action in bindings.items()}

    # The connection.

    def _advance(
        self, kind: type[Command], body: bytes | None = None, **fields: Any
    ) -> tuple[Result, Frames, dict[str, Any]]:
        """Let the server make or restore a block, while "human" shows the one before it; return copies of it."""
        self._forget()
        result, pixels = self._renderer.while_shown(self.render_mode, lambda: self._ask(kind, body, **fields))
        frames = np.frombuffer(pixels, np.uint8).reshape(-1, *self.block_shape[1:])
        self.newest = fill_block(frames, self.block_shape[0]), result.info
        self.timings = {f"{part}_s": ms / 1000 for part, ms in result.timings.items()} or self.timings
        names = {name: result.info[name] for name in ("subject", "scene", "motion", "prompt")}
        self.steering = Steering(**names, free_text=result.info["free_prompt"])
        self._renderer.add_block(valid_frames(*self.newest), self.render_mode)
        observation, info = self.newest
        return result, observation.copy(), dict(info)

    def _ask(self, kind: type[Command], body: bytes | None = None, **fields: Any) -> Answer:
        """Return the server's answer to a command, or raise its error."""
        future: Future[Answer] = self._connection.request(kind, body, **fields)
        try:
            return future.result()
        except CommandError as error:
            raise ERRORS.get(error.kind, ValueError)(str(error)) from None
        except RemoteError as error:
            raise RemoteError(str(error)) from error

    def _forget(self) -> None:
        """Let the server drop the states that nobody holds any more."""
        handles = [self._forgotten.popleft() for _ in range(len(self._forgotten))]
        if handles:
            self._ask(Forget, handles=handles)

    def _require_reset(self, wanted: str) -> tuple[Frames, dict[str, Any]]:
        if self.newest is None:
            raise ResetNeeded(f"Cannot call {wanted}() before reset(): there is no rollout yet. Call reset() first.")
        return self.newest

    def _wait_for_seat(self) -> None:
        try:
            if self._connection.seat == "queued":
                logger.info("all places on the server are taken: place %d in the queue", self._connection.place)
                self._seated.wait()
            if self._connection.failure is not None:
                raise self._connection.failure
        except BaseException:
            self.close()
            raise

    def _handle_message(self, message: Message, body: bytes) -> None:
        if isinstance(message, Seat):
            if message.seat == "agent":
                self._seated.set()
            else:
                logger.info("place %d in the queue", message.place)

    def _handle_connection(self, is_connected: bool, reason: str) -> None:
        if is_connected:
            logger.info("the connection is back")
        else:
            logger.warning("%s Connecting again.", reason)
        if self._connection.failure is not None or self._connection.seat == "agent":
            self._seated.set()


def _picture(image: object) -> Picture:
    """Return the picture of a path or of an array; the server checks the array."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} of shape {image.shape}"
            raise ValueError(f"expected an image to be a uint8 array of shape (H, W, 3), RGB from 0 to 255, got {got}")
        return np.ascontiguousarray(image)
    return read_picture(image)
