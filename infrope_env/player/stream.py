"""Generates the next block in a thread, just in time, and says which pixel frame is on show.

A block begins as late as the slowest recent ones allow, so that it answers the newest key; where the model is slower
than the screen, its pixel frames are spread evenly over the time a block takes. Knows no pygame: the window asks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from infrope_env.control.controller import Controller
from infrope_env.player.pace import Pace

Info = Mapping[str, Any]


class StreamError(RuntimeError):
    """Making a block failed; the message is the reason in one sentence."""


@dataclass(frozen=True, eq=False)
class BlockFrames:
    """The pixel frames of one block, ready to be shown.

    Attributes:
        frames: uint8 [n, H, W, 3]; of a first block only the valid ones.
        info: the environment's.
        made_s: how long the environment took.
        starts_over: the player asked for a reset or a restore: it does not wait for the end of what is on show.
    """

    frames: NDArray[np.uint8]
    info: Info
    made_s: float
    starts_over: bool = False


@dataclass(frozen=True)
class Frame:
    """What is on show: pixel frame `index` of `clip`."""

    clip: BlockFrames
    index: int

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        return self.clip.frames[self.index]


@dataclass(frozen=True)
class Showing:
    """A clip on show since `began_s`, `frame_s` per pixel frame; the last one stays until another clip begins."""

    clip: BlockFrames
    began_s: float
    frame_s: float

    @property
    def ends_s(self) -> float:
        """When the next clip is due."""
        return self.began_s + len(self.clip.frames) * self.frame_s

    def at(self, now: float) -> Frame:
        """The pixel frame on show."""
        index = int((now - self.began_s) / self.frame_s + 1e-6)
        return Frame(self.clip, min(max(index, 0), len(self.clip.frames) - 1))


class Stream:
    """Owns the environment: makes blocks in a worker thread and hands out pixel frames to the thread that shows them.

    Everything asked of the environment (`reset`, `save`, `restore`, `set_prompt`) is done by the worker between two
    blocks, in the order of asking, and answered through a Future.
    """

    def __init__(
        self,
        env: gymnasium.Env[NDArray[np.uint8], Any],
        choose_action: Controller,
        *,
        blocks: int | None = None,
        fps: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            env: from here on nobody else may use it until `close`.
            choose_action: asked by the worker right before a block begins.
            blocks: make so many, those of resets included, and no more; None goes on for ever.
            fps: pixel frames per second where the model is fast enough; the environment's by default.
            clock: seconds; `next_frame` is asked by the same one.
        """
        self.pace = Pace(fps or env.metadata["render_fps"])
        self._env = env
        self._choose = choose_action
        self._clock = clock
        self._observation: NDArray[np.uint8] | None = None  # the newest block's; None before the first reset
        self._info: Info = {}
        self._saved: object | None = None
        self._first_prompt: dict[str, Any] = {}
        self._wake = threading.Condition()
        self._commands: deque[tuple[Callable[[], object], Future[Any]]] = deque()
        self._ready: BlockFrames | None = None
        self._showing: Showing | None = None
        self._paused = self._generating = self._closing = False
        self._over = False  # the rollout has ended: the next block is the first of another
        self._steps = 0  # blocks to make although paused
        self._blocks_left = blocks
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Begin the first rollout, and the worker. A prompt among the options is that of every new world."""
        self._first_prompt = {name: text for name, text in (options or {}).items() if name == "prompt"}
        future = self.reset(seed, options)
        self._thread = threading.Thread(target=self._work, name="infrope blocks", daemon=True)
        self._thread.start()
        return future

    def close(self) -> None:
        """Stop; returns when the block that is being made is finished. Questions still open are cancelled."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        while self._commands:
            self._commands.popleft()[1].cancel()

    # What the window asks.

    def next_frame(self, now: float | None = None) -> Frame | None:
        """The pixel frame to show at `now`; None while the first block is being made.

        Raises:
            StreamError: the worker failed.
        """
        now = self._clock() if now is None else now
        with self._wake:
            if self._failure is not None:
                raise StreamError(_sentence(self._failure)) from self._failure
            if self._ready is not None and self._is_due(self._ready, now):
                self._show_ready(now)
            return None if self._showing is None else self._showing.at(now)

    @property
    def generating(self) -> bool:
        """A block is being made: what is pressed now answers in the one after it."""
        return self._generating

    @property
    def paused(self) -> bool:
        """No block begins by itself."""
        return self._paused

    def is_over(self, now: float) -> bool:
        """All `blocks` have been made and have had their time on show."""
        with self._wake:
            made = self._blocks_left == 0 and self._ready is None
            return made and self._showing is not None and now >= self._showing.ends_s

    def pause(self, paused: bool) -> None:
        """Stop beginning blocks, or go on; the block on show plays to its end."""
        with self._wake:
            self._paused = paused
            self._steps = 0
            self._wake.notify_all()

    def step_once(self) -> None:
        """While paused, make one block."""
        with self._wake:
            self._steps += self._paused
            self._wake.notify_all()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Begin a new rollout and show it at once."""
        return self._ask(lambda: self._start_over(lambda: self._env.reset(seed=seed, options=options)))

    def new_world(self) -> Future[Info]:
        """Begin a new rollout with another seed, the same subject and the same scene."""
        return self._ask(lambda: self._start_over(self._reset_here))

    def save(self) -> Future[Info]:
        """Keep the state after the newest block made; answers with that block's info."""
        return self._ask(self._save)

    def restore(self) -> Future[Info]:
        """Go back to the kept state and show its block; ValueError when none is kept."""
        return self._ask(self._restore)

    def set_prompt(self, text: str, cut: bool = False) -> Future[None]:
        """Put free text in force from the next block on; the environment's ValueError when it cannot be encoded."""
        return self._ask(lambda: self._env.get_wrapper_attr("set_prompt")(text, cut=cut))

    # What the worker does.

    def run_due(self) -> bool:
        """Do one thing that is due now, a command or a block; False when nothing is. The worker's whole work."""
        with self._wake:
            if self._commands:
                command, future = self._commands.popleft()
                job: Callable[[], object] = partial(_answer, command, future)
            elif (due_s := self._next_block_s()) is not None and due_s <= self._clock():
                self._steps = max(0, self._steps - 1)
                self._generating = True
                job = self._make_block if not self._over else partial(self._start_over, self._reset_here, at_once=False)
            else:
                return False
        job()
        return True

    def _work(self) -> None:
        try:
            while not self._closing:
                if not self.run_due():
                    self._sleep()
        except BaseException as error:  # whatever it is, the thread that shows must hear of it
            with self._wake:
                self._failure = error

    def _sleep(self) -> None:
        with self._wake:
            if not self._commands and not self._closing:
                due_s = self._next_block_s()
                self._wake.wait(None if due_s is None else max(0.0, due_s - self._clock()))

    def _next_block_s(self) -> float | None:
        """When the next block begins; None when that waits for someone."""
        if self._observation is None or self._ready is not None or self._showing is None or self._blocks_left == 0:
            return None
        if self._paused:
            return self._showing.began_s if self._steps else None
        return self._showing.ends_s - self.pace.lead_s

    def _make_block(self) -> None:
        assert self._observation is not None
        began = self._clock()
        action = self._choose(self._observation, self._info)
        observation, _, terminated, truncated, info = self._env.step(action)
        made_s = self._clock() - began
        self.pace.add(made_s)
        self._hand_over(observation, info, made_s)
        self._over = terminated or truncated

    def _start_over(self, begin: Callable[[], tuple[NDArray[np.uint8], Info]], at_once: bool = True) -> Info:
        began = self._clock()
        observation, info = begin()
        made_s = self._clock() - began
        self.pace.add(made_s, first=True)
        self._over = False
        self._hand_over(observation, info, made_s, starts_over=at_once)
        return info

    def _hand_over(
        self, observation: NDArray[np.uint8], info: Info, made_s: float, starts_over: bool = False, again: bool = False
    ) -> None:
        """Offer a block for show; one that is shown `again` was counted when it was made."""
        valid = observation[len(observation) - info["num_frames"] :]  # a first block has 9 of 12, at the end
        with self._wake:
            self._observation, self._info = observation, info
            self._ready = BlockFrames(valid, info, made_s, starts_over)
            self._generating = False
            if self._blocks_left and not again:
                self._blocks_left -= 1

    def _reset_here(self) -> tuple[NDArray[np.uint8], Info]:
        here = {name: self._info[name] for name in ("subject", "scene")}
        return self._env.reset(options=here | self._first_prompt)

    def _save(self) -> Info:
        self._saved = self._env.get_wrapper_attr("save_state")()
        return self._info

    def _restore(self) -> Info:
        if self._saved is None:
            raise ValueError("nothing to restore yet: save first")
        observation, info = self._env.get_wrapper_attr("restore_state")(self._saved)
        self._over = False
        self._hand_over(observation, info, made_s=0.0, starts_over=True, again=True)
        return info

    # Under the lock.

    def _ask(self, command: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._wake:
            self._commands.append((command, future))
            self._wake.notify_all()
        return future

    def _is_due(self, clip: BlockFrames, now: float) -> bool:
        return self._showing is None or clip.starts_over or now >= self._showing.ends_s

    def _show_ready(self, now: float) -> None:
        assert self._ready is not None
        clip, self._ready = self._ready, None
        frame_s = self.pace.frame_s(len(clip.frames))
        began_s = now
        if self._showing is not None and not clip.starts_over and now - self._showing.ends_s < frame_s:
            began_s = self._showing.ends_s  # the window asked a little late: keep the beat
        self._showing = Showing(clip, began_s, frame_s)
        self._wake.notify_all()


def _answer(command: Callable[[], object], future: Future[Any]) -> None:
    """A command's mistake belongs to who asked: it does not stop the stream."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(command())
    except Exception as error:
        future.set_exception(error)


def _sentence(error: BaseException) -> str:
    return f"Making the next block failed: {' '.join(str(error).split()) or type(error).__name__}"
