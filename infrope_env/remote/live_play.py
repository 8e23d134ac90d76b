"""Live play of one rollout for a client: the player's stream, without a window, on an event loop.

The worker of the stream makes the blocks, just in time. This module only tells it when a block would begin to be shown,
and sends each block as soon as it is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from infrope_env.control.actions import ActionSet
from infrope_env.control.frames import Frames
from infrope_env.control.keyboard import KeyboardController
from infrope_env.control.playable import playable
from infrope_env.player.pace import Pace
from infrope_env.player.playback import BlockFrames
from infrope_env.player.stream import Stream, StreamError
from infrope_env.remote.attention_demand import AttentionDemand
from infrope_env.remote.client_messages import (
    Command,
    Key,
    NewWorld,
    Pause,
    ReleaseAll,
    Reset,
    Restore,
    Rewind,
    Save,
    SetPrompt,
    SingleStep,
    Withdraw,
)
from infrope_env.remote.feed import BlockFeed
from infrope_env.remote.jitter import LEAST_BUFFER_S
from infrope_env.remote.limits import MOST_UNACKNOWLEDGED
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.outbox import Outbox

MARGIN_S = 0.03
"""Seconds by which a block should be ready: twice a window's, because a late block enlarges every client's buffer."""
PEAK_DECAY = 0.995
"""Factor per block by which a server forgets the excess of its longest block: half of it in 139 blocks, or 104 s.

A machine that shares its processor turns slow for a minute or two, and then again; `tests/remote/test_pace.py` has one.
"""
CHECK_S = 1.0  # longest time after which a failure of the worker is noticed
MOST_PRESSES = 256  # presses that wait for their answer


def button_key(action: str) -> str:
    """Return the name of the key that an on-screen button of an action presses."""
    return f"action:{action}"


def remote_keyboard(action_set: ActionSet) -> KeyboardController:
    """Return a keyboard controller of an action set's keys and of one on-screen button for every action."""
    cuts = [index for index, action in enumerate(action_set.actions) if action.scene is not None]
    buttons = {(button_key(name),): index for index, name in enumerate(action_set.names)}
    return KeyboardController(action_set.keys_to_action() | buttons, cuts, action_set.names)


@dataclass(frozen=True)
class _MadeBlock:
    """A block that the worker has made.

    Attributes:
        block: Its pixel frames and info.
        made_s: When it was made.
        timings: Milliseconds by part.
    """

    block: BlockFrames
    made_s: float
    timings: dict[str, float] = field(default_factory=dict)


class LivePlay:
    """A rollout that a player steers; all methods belong to the thread of the event loop.

    Attributes:
        paused: Whether the player has paused it.
        saved: Index of the block of the saved state; None without one.
        attention: Measures attention while a client asks for it.
    """

    def __init__(
        self,
        env: gymnasium.Env[Frames, Any],
        feed: BlockFeed,
        metrics: Metrics,
        on_failure: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """Prepare; `start` begins the first rollout.

        Args:
            env: The environment; nothing else may use it until `close` is done.
            feed: Where blocks go.
            metrics: Where times go.
            on_failure: Called with the reason when no more blocks can be made.
        """
        self.paused, self.saved = False, None
        self._env, self._feed, self._metrics, self._on_failure = env, feed, metrics, on_failure
        action_set = playable(env).action_set
        self._keyboard = remote_keyboard(action_set)
        keys = {key for keys in action_set.keys_to_action() for key in keys}
        self._bound = keys | {button_key(name) for name in action_set.names}
        self._stream = Stream(
            env,
            self._keyboard,
            pace=Pace(env.metadata["render_fps"], MARGIN_S, peak_decay=PEAK_DECAY),
            on_replaced=self._keyboard.forget_unshown,
            on_block=self._block_from_worker,
        )
        self.attention = AttentionDemand(feed, self._stream.inspect)
        self._loop = asyncio.get_running_loop()
        self._outbox: Outbox | None = None  # the player's; None while it is away
        self._seqs: dict[float, int] = {}  # sequence number of every press, by its time
        self._wanted: set[int] = set()  # commands whose prompt is being read and was not taken back
        self._held_back: _MadeBlock | None = None  # made during a pause, and not sent
        self._sent: BlockFrames | None = None  # the newest block that was sent
        self._shown: BlockFrames | None = None  # the newest block that would be on show
        self._timer: asyncio.TimerHandle | None = None
        self._began_s: float | None = None
        self._failed = self._closed = False

    def start(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Any]:
        """Begin the first rollout; returns the Future of its info, or of the error of the reset."""
        self._began_s = time.monotonic()
        future = self._stream.start(seed, options)
        self._tick()
        return future

    async def close(self) -> None:
        """Wait for the block that is being made, and stop."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self._stream.close)

    def attach(self, outbox: Outbox) -> None:
        """Continue, because the player is here."""
        self._outbox = outbox
        self._stream.pause(self.paused)
        self._tick()

    def detach(self) -> None:
        """Release all keys and make no more blocks, because the player is away."""
        self._outbox = None
        self._keyboard.release_all()
        self._stream.pause(True)

    def handle_key(self, message: Key | ReleaseAll) -> None:
        """Pass a key event to the controller."""
        if isinstance(message, ReleaseAll):
            self._keyboard.release_all()
        elif message.key not in self._bound:
            return  # a client cannot fill the memory with keys
        elif message.down:
            now = time.monotonic()
            while now in self._seqs:
                now += 1e-6
            self._seqs[now] = message.seq
            while len(self._seqs) > MOST_PRESSES:
                del self._seqs[next(iter(self._seqs))]
            self._keyboard.press(message.key, now, self._stream.generating)
        else:
            self._keyboard.release(message.key)

    def acknowledged(self) -> None:
        """Continue if too many blocks were on their way to the player."""
        self._tick()

    def command(self, message: Command, picture: Frames | None = None) -> Future[Any]:
        """Begin a command; returns the Future of the info of the newest block, or of None.

        Args:
            message: The command.
            picture: Picture that a reset starts from.
        """
        future = self._begin(message, picture)
        future.add_done_callback(lambda _: self._call_soon(self._tick))
        return future

    def _begin(self, message: Command, picture: Frames | None) -> Future[Any]:
        match message:
            case SetPrompt():
                return self._set_prompt(message)
            case Withdraw(command=command):
                self._wanted.discard(command)
            case NewWorld():
                return self._stream.new_world()
            case Reset(seed=seed, options=options):
                image = {} if picture is None else {"image": picture}
                return self._stream.reset(seed, options | image)
            case Save():
                return self._remember_saved(self._stream.save())
            case Restore():
                return self._stream.restore()
            case Rewind():
                return self._stream.rewind()
            case Pause(paused=paused):
                self._pause(paused)
            case SingleStep():
                self._single_step()
            case _:
                raise ValueError(f"a player has no command {message.type!r}; only agents have it")
        done: Future[Any] = Future()
        done.set_result(None)
        return done

    def _pause(self, paused: bool) -> None:
        self.paused = paused
        self._stream.pause(paused or self._outbox is None)

    def _single_step(self) -> None:
        if self._sent is not self._shown:  # the client has and shows it already: step over it
            self._stream.single_step()
        self._stream.single_step()

    def _set_prompt(self, message: SetPrompt) -> Future[Any]:
        self._wanted.add(message.id)
        future = self._stream.set_prompt(message.text, message.cut, wanted=lambda: message.id in self._wanted)
        future.add_done_callback(lambda _: self._wanted.discard(message.id))
        return future

    def _remember_saved(self, future: Future[Any]) -> Future[Any]:
        def remember(done: Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.saved = done.result()["block"]

        future.add_done_callback(remember)
        return future

    # Blocks.

    def _block_from_worker(self, block: BlockFrames) -> None:
        """Pass a block to the event loop; the worker calls this."""
        parts = getattr(self._env.unwrapped, "timings", {})
        timings = {name.removesuffix("_s"): 1000 * seconds for name, seconds in parts.items()}
        self._call_soon(self._add, _MadeBlock(block, time.monotonic(), timings))

    def _call_soon(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._closed:
            self._loop.call_soon_threadsafe(function, *arguments)

    def _add(self, made: _MadeBlock) -> None:
        """Send a block now, or if it belongs behind a pause, when it is shown."""
        self._measure(made)
        if self._stream.paused and not made.block.immediate:
            self._held_back = made
        else:
            self._publish(made)
        self._tick()

    def _publish(self, made: _MadeBlock) -> None:
        due_s = self._stream.due_s()
        self._sent, self._held_back = made.block, None
        self._feed.publish(
            made.block,
            due_s=made.made_s if due_s is None else due_s,
            frame_s=self._stream.pace.frame_s(len(made.block.frames)),
            answers=self._answers(made.block.info["block"]),
            timings=made.timings,
        )

    def _answers(self, block: int) -> list[dict[str, Any]]:
        """Return the presses that a block answers, each once."""
        answered = [receipt for receipt in self._keyboard.receipts if receipt.block == block]
        return [
            {"seq": self._seqs.pop(receipt.pressed_s), "action": receipt.action, "name": receipt.name}
            for receipt in answered
            if receipt.pressed_s in self._seqs
        ]

    def _measure(self, made: _MadeBlock) -> None:
        metrics, due_s = self._metrics, self._stream.due_s()
        metrics.count("blocks")
        if self._began_s is not None:
            metrics.observe("time_to_first_block_seconds", made.made_s - self._began_s)
            self._began_s = None
        elif not made.block.immediate and due_s is not None and made.made_s > due_s + LEAST_BUFFER_S:
            metrics.count("underruns")
        if "total" in made.timings:
            made_s, pace = made.timings["total"] / 1000, self._stream.pace
            metrics.observe("block_seconds", made_s)
            metrics.add_work(len(made.block.frames) / pace.fps, made_s + pace.newest_commit_s)

    def _tick(self) -> None:
        """Let the stream know what would be on show now, and come back when the next block is due."""
        if self._closed or self._failed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.attention.update()  # clients that asked may have left
        is_behind = self._player_is_behind()
        if not is_behind:
            self._show()
        due_s = self._stream.due_s()
        wait_s = CHECK_S if due_s is None or is_behind else min(CHECK_S, max(0.0, due_s - time.monotonic()))
        self._timer = self._loop.call_later(wait_s, self._tick)

    def _show(self) -> None:
        try:
            frame = self._stream.frame_to_show()
        except StreamError as error:
            self._failed = True
            self._on_failure(str(error))
            return
        if frame is not None and frame.block is not self._shown:
            self._shown = frame.block
            self._keyboard.shown(frame.block.info["block"], time.monotonic())
            if self._held_back is not None and self._held_back.block is frame.block:
                self._publish(self._held_back)

    def _player_is_behind(self) -> bool:
        """Return whether many blocks are on their way to the player: it would lose some if more were made."""
        return self._outbox is not None and self._outbox.unacknowledged >= MOST_UNACKNOWLEDGED
