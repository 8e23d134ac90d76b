"""Just-in-time generation of blocks in a thread, and the choice of the pixel frame on show.

A block begins as late as the slowest recent blocks allow, so that it answers the newest key. Where the model is slower
than the screen, pixel frames are spread evenly over the time a block takes. This module does not import pygame.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import gymnasium

from infrope_env.control.controller import Controller
from infrope_env.control.frames import Frames, valid_frames
from infrope_env.control.playable import playable
from infrope_env.player.history import History, PlayedBlock
from infrope_env.player.inspection import Inspection, inspect_newest, measure_attention
from infrope_env.player.pace import Pace
from infrope_env.player.playback import BlockFrames, Info, Playback, ShownFrame
from infrope_env.text.turns import interrupt


class StreamError(RuntimeError):
    """Generating a block failed; the message gives the reason in one sentence."""


class Stream:
    """A worker thread that generates blocks, and their pixel frames for the thread that shows them.

    The worker executes the commands `reset`, `new_world`, `save`, `restore`, `rewind` and `set_prompt` between two
    blocks, in order; each returns a Future.

    Attributes:
        pace: Timing of the blocks.
        history: The newest blocks and the states after them.
        paused: Whether blocks begin and are shown only by `single_step`, a reset or a restore.
        generating: Whether a block is being generated: a key pressed now acts on the block after it.
        trouble: Always empty: what a session says while its stream is interrupted.
    """

    trouble = ""

    def __init__(
        self,
        env: gymnasium.Env[Frames, Any],
        controller: Controller,
        *,
        blocks: int | None = None,
        written: int | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_replaced: Callable[[], None] = lambda: None,
        on_block: Callable[[BlockFrames], None] = lambda block: None,
    ) -> None:
        """Prepare; `start` begins the first block.

        Args:
            env: The environment; nothing else may use it until `close`.
            controller: Chooses the action of a block right before the block begins, in the worker thread.
            blocks: Number of blocks to generate, those of resets included; None has no end but that of `written`.
            written: Number of blocks of the script or storyboard that the controller plays, block 0 included. Without
                `blocks`, the stream ends with the last of them in the world on show: the player's reset begins it
                again, and a restored state goes on with the rest. None without a script.
            pace: Timing of blocks and frames, without measurements; by default a window's, at the environment's rate.
            clock: Returns seconds.
            on_replaced: Called by the worker when a reset or a restore by the player has replaced the blocks that are
                not on show yet, before the next action is chosen.
            on_block: Called by the worker with every block as soon as it is made, or restored by the player.
        """
        self.pace = pace or Pace(env.metadata["render_fps"])
        self.paused = self.generating = False
        self._env, self._playable = env, playable(env)
        self._controller = controller
        self._clock, self._on_replaced, self._on_block = clock, on_replaced, on_block
        self._newest: tuple[Frames, Info] | None = None  # observation and info; None before the first reset
        self._newest_block: BlockFrames | None = None
        self.history = History(clock=clock)
        self._saved: PlayedBlock | None = None
        self._start_prompt: dict[str, Any] = {}  # reset option of every new world
        self._wake = threading.Condition()
        self._commands: deque[tuple[Callable[[], object], Future[Any]]] = deque()
        self._waiting_block: BlockFrames | None = None  # generated, not yet on show
        self._playback: Playback | None = None
        self._closing = False
        self._uncommitted = False  # the commit pass of the newest block is due
        self._rollout_ended = False  # the next block is the first of another rollout
        self._replacements = 0  # resets and restores asked for and not done
        self._running = False  # a command is being executed
        self._single_steps = 0  # blocks to show while paused
        self._counts_all = blocks is not None
        self._written = written
        self._blocks_left = written if blocks is None else blocks
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Start the worker and the first rollout.

        Args:
            seed: Seed of the first rollout.
            options: Options of its reset. A prompt among them is also the first prompt of every new world.

        Returns:
            Future of the first block's info, or of the error of the reset.
        """
        self._start_prompt = {name: text for name, text in (options or {}).items() if name == "prompt"}
        future = self.reset(seed, options)
        self._thread = threading.Thread(target=self._run_worker, name="infrope blocks", daemon=True)
        self._thread.start()
        return future

    def close(self) -> None:
        """Stop the worker, wait for the block that is being generated, and cancel the commands that are left.

        A prompt that is being encoded is not waited for.
        """
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        while self._thread is not None and self._thread.is_alive():
            interrupt(self._thread)
            self._thread.join(0.05)
        while self._commands:
            self._commands.popleft()[1].cancel()

    # Called by the thread that shows the pixel frames.

    def frame_to_show(self, now: float | None = None) -> ShownFrame | None:
        """Return the pixel frame to show at `now`, by default the time of the clock; None before the first block.

        Raises:
            StreamError: The worker failed.
        """
        now = self._clock() if now is None else now
        with self._wake:
            if self._failure is not None:
                reason = " ".join(str(self._failure).split()) or type(self._failure).__name__
                raise StreamError(f"Generating the next block failed: {reason}") from self._failure
            if self._waiting_block is not None:
                self._show_when_due(self._waiting_block, now)
            return None if self._playback is None else self._playback.frame_at(now)

    def due_s(self) -> float | None:
        """Return when the block that waits is to be shown, on the stream's clock.

        It is None without such a block, and while a pause, a reset or a restore holds it back.
        """
        with self._wake:
            if self._waiting_block is None:
                return None
            if self._playback is None or self._waiting_block.immediate:
                return self._clock()
            return None if self._is_held_back() else self._playback.end_s

    def is_finished(self, now: float) -> bool:
        """Return whether all blocks have been generated and shown to their end; a pause holds the last one."""
        with self._wake:
            all_on_show = self._blocks_left == 0 and self._waiting_block is None
            busy = self.paused or self._commands or self._running
            return all_on_show and not busy and self._playback is not None and now >= self._playback.end_s

    def pause(self, paused: bool) -> None:
        """Stop beginning and showing blocks, or continue. The block on show plays to its end.

        A block that is under way when the pause begins is the next one shown.
        """
        with self._wake:
            self.paused = paused
            self._single_steps = 0
            self._wake.notify_all()

    def single_step(self) -> None:
        """Show one more block while paused: the one that was under way, or else a new one."""
        with self._wake:
            self._single_steps += self.paused
            self._wake.notify_all()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Begin a new rollout and show it at once; returns the info of its first block."""
        return self._replace(lambda: self._begin_rollout(lambda: self._env.reset(seed=seed, options=options)))

    def new_world(self) -> Future[Info]:
        """Begin a new rollout with another seed, the same subject and the same scene; returns its first info."""
        return self._replace(lambda: self._begin_rollout(self._reset_to_same_scene))

    def save(self) -> Future[Info]:
        """Save the state after the newest block; returns that block's info."""
        return self._enqueue(self._save)

    def restore(self) -> Future[Info]:
        """Restore the saved state and show its block, whose info is returned; ValueError when nothing was saved."""
        return self._replace(self._restore)

    def rewind(self) -> Future[Info]:
        """Step back to the block before the one on show; ValueError when the state after it is not kept.

        It is the block that was on show before, also where the one on show began a new world or was restored.
        """
        return self._replace(self._rewind)

    def inspect(self, on: bool) -> Future[None]:
        """Measure the attention mass of the blocks from the next one on, or stop; ValueError where that is impossible.

        What a block saw is known without it.
        """
        return self._enqueue(lambda: measure_attention(self._playable, on))

    def inspection_of(self, block: BlockFrames) -> Inspection | None:
        """Return what a block saw; None where that is not known."""
        return block.inspection

    def set_prompt(self, text: str, cut: bool = False, wanted: Callable[[], bool] = lambda: True) -> Future[None]:
        """Put free text in force from the next block on; ValueError when the text encoder cannot read it.

        Args:
            text: The prompt.
            cut: Whether the next block cuts to it.
            wanted: Returns whether the prompt is still wanted, after it was encoded; if not, nothing changes.
        """

        def command() -> None:
            self._playable.encode_prompts([text])
            if wanted():
                self._playable.set_prompt(text, cut=cut)

        return self._enqueue(command)

    def _replace(self, command: Callable[[], Info]) -> Future[Info]:
        """Enqueue a command that replaces what is on show; until it is done, no other block is begun to be shown."""
        with self._wake:
            self._replacements += 1
        future = self._enqueue(command)
        future.add_done_callback(self._end_replacement)
        return future

    def _end_replacement(self, _: Future[Info]) -> None:
        with self._wake:
            self._replacements -= 1

    def _enqueue(self, command: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._wake:
            self._commands.append((command, future))
            self._wake.notify_all()
        return future

    def _show_when_due(self, block: BlockFrames, now: float) -> None:
        """Begin to show a block when the one on show has ended or is to be replaced. The caller holds the lock."""
        frame_s, start_s = self.pace.frame_s(len(block.frames)), now
        if self._playback is not None and not block.immediate:
            if now < self._playback.end_s or self._is_held_back():
                return
            self._single_steps = max(0, self._single_steps - 1)
            if now - self._playback.end_s < frame_s:
                start_s = self._playback.end_s  # a call that is a little late does not shift the blocks after it
        self._playback, self._waiting_block = Playback(block, start_s, frame_s), None
        self._wake.notify_all()

    def _is_held_back(self) -> bool:
        """Return whether a block that continues the one on show may not follow it now. The caller holds the lock."""
        return self._replacements > 0 or (self.paused and not self._single_steps)

    # Called by the worker.

    def _run_worker(self) -> None:
        try:
            while not self._closing:
                if not self.run_due():
                    self._sleep()
        except BaseException as error:  # raised again in the thread that shows the pixel frames
            with self._wake:
                self._failure = error

    def run_due(self) -> bool:
        """Run the oldest command, or else commit the newest block, or else generate the next one if it is due.

        Returns:
            False when there is nothing to do.
        """
        with self._wake:
            if self._commands:
                job: Callable[[], object] = partial(self._run_command, *self._commands.popleft())
                self._running = True
            elif self._uncommitted:
                job = self._commit
            elif (start_s := self._next_start_s()) is not None and start_s <= self._clock():
                self.generating = True
                job = self._generate_block
            else:
                return False
        job()
        return True

    def _run_command(self, command: Callable[[], object], future: Future[Any]) -> None:
        """Run a command and complete its Future; an error belongs to the caller and does not stop the stream."""
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(command())
            except Exception as error:
                future.set_exception(error)
        with self._wake:
            self._running = False

    def _sleep(self) -> None:
        with self._wake:
            if not self._commands and not self._closing:
                start_s = self._next_start_s()
                self._wake.wait(None if start_s is None else max(0.0, start_s - self._clock()))

    def _next_start_s(self) -> float | None:
        """Return when the next block begins; None while that depends on a command or on the block on show."""
        if self._newest is None or self._waiting_block is not None or self._playback is None or self._blocks_left == 0:
            return None
        if self.paused:
            return self._playback.start_s if self._single_steps else None
        return self._playback.end_s - self.pace.lead_s

    def _generate_block(self) -> None:
        if self._rollout_ended:
            self._begin_rollout(self._reset_to_same_scene, immediate=False)
            return
        assert self._newest is not None
        observation, info = self._newest
        began_s = self._clock()
        free_prompt = self._playable.steering.free_text  # set_prompt or a restored state may have changed it since
        action = self._controller(observation, {**info, "free_prompt": free_prompt})
        observation, _, terminated, truncated, info = self._env.step(action)
        self.pace.add(self._clock() - began_s)
        self._publish(observation, info)
        self._rollout_ended = terminated or truncated

    def _commit(self) -> None:
        """Run the commit pass of the newest block, whose frames are on their way to the screen, and keep its state."""
        assert self._newest_block is not None
        began_s, block = self._clock(), self._newest_block
        self._playable.commit()
        self._uncommitted = False
        shown_s = len(block.frames) / self.pace.fps
        self.history.add(block, shown_s, self._playable.save_state, getattr(self._playable, "state_bytes", 0))
        self.pace.add_commit(self._clock() - began_s)

    def _begin_rollout(self, reset: Callable[[], tuple[Frames, Info]], immediate: bool = True) -> Info:
        if immediate and self._counts_all and self._blocks_left == 0:
            raise ValueError("no new world: the last block of the number to play has been made")
        began_s = self._clock()
        observation, info = reset()
        self.pace.add(self._clock() - began_s, first=True)
        self._rollout_ended = False
        self._publish(observation, info, immediate)
        return info

    def _reset_to_same_scene(self) -> tuple[Frames, Info]:
        assert self._newest is not None
        _, info = self._newest
        return self._env.reset(options={"subject": info["subject"], "scene": info["scene"]} | self._start_prompt)

    def _save(self) -> Info:
        state = self._playable.save_state()
        assert self._newest is not None and self._newest_block is not None
        self._saved = PlayedBlock(self._newest_block, state)
        return self._newest[1]

    def _restore(self) -> Info:
        if self._saved is None:
            raise ValueError("nothing to restore yet: save first")
        return self._return_to(self._saved)

    def _rewind(self) -> Info:
        with self._wake:
            on_show = None if self._playback is None else self._playback.block
            if self._waiting_block is not None and self._waiting_block.immediate:
                on_show = self._waiting_block
        played = None if on_show is None else self.history.before(on_show)
        if played is None:
            raise ValueError("no earlier block is kept")
        self.history.end_with(played)
        return self._return_to(played)

    def _return_to(self, played: PlayedBlock) -> Info:
        """Restore the state after a block and show the block again."""
        observation, info = self._playable.restore_state(played.state)
        self._rollout_ended = False
        self._publish(observation, info, immediate=True, restored=played.block)
        assert self._newest_block is not None
        self.history.add_restored(self._newest_block, played.state)
        return info

    def _publish(
        self, observation: Frames, info: Info, immediate: bool = False, restored: BlockFrames | None = None
    ) -> None:
        """Make a block the newest one and pass it to the thread that shows the pixel frames.

        Args:
            observation: Its observation.
            info: Its info.
            immediate: As in `BlockFrames`.
            restored: The block as it was first made, if its state was restored.
        """
        if restored is None:
            before = self._newest_block.inspection if info["block"] and self._newest_block is not None else None
            inspection = inspect_newest(self._playable, observation, before)
        else:
            inspection = restored.inspection
        block = BlockFrames(valid_frames(observation, info), info, immediate, inspection=inspection)
        with self._wake:
            self._newest, self._newest_block = (observation, info), block
            self._waiting_block = block
            self.generating, self._uncommitted = False, restored is None
            if immediate:
                self._on_replaced()
            if immediate and not self._counts_all and self._written is not None:
                self._blocks_left = max(0, self._written - 1 - info["block"])
            elif self._blocks_left and restored is None:  # a restored block was counted when it was generated
                self._blocks_left -= 1
        self._on_block(block)
