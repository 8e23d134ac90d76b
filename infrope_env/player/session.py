"""A live session: keys go to the controller and the stream, pixel frames to the window, until the player quits.

The thread that runs it only listens and draws; the stream's worker makes the blocks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import gymnasium
import numpy as np
import pygame
from numpy.typing import NDArray

from controllers.keyboard import KeyboardController
from infrope_env.control.actions import ActionSet
from infrope_env.control.controller import Controller
from infrope_env.player.bindings import key_name, listed
from infrope_env.player.overlay import KeyReceipt, Overlay, Readout
from infrope_env.player.stream import Frame, Stream
from infrope_env.player.window import DisplayWindow

POLL_S = 0.005
REDRAW_S = 1 / 16  # the overlay's, while the picture stands still


def keyboard_for(action_set: ActionSet) -> KeyboardController:
    """The keyboard of an action set: its bindings, cuts acting once per press."""
    cuts = [index for index, action in enumerate(action_set.actions) if action.scene is not None]
    return KeyboardController(action_set.keys_to_action(), cuts, action_set.names)


class FrameRate:
    """Pixel frames really shown per second, lately."""

    def __init__(self, memory: int = 24) -> None:
        self._shown_s: deque[float] = deque(maxlen=memory)

    def add(self, now: float) -> None:
        """Another pixel frame is on show."""
        self._shown_s.append(now)

    @property
    def fps(self) -> float:
        """0 until there are two."""
        passed_s = self._shown_s[-1] - self._shown_s[0] if self._shown_s else 0.0
        return (len(self._shown_s) - 1) / passed_s if passed_s else 0.0


class TextLine:
    """A prompt being typed."""

    def __init__(self) -> None:
        self.text: str | None = None  # None: nobody is typing

    @property
    def open(self) -> bool:
        """Keys are letters now, not bindings."""
        return self.text is not None

    def begin(self) -> None:
        """Open an empty line."""
        self.text = ""
        pygame.key.start_text_input()

    def end(self) -> None:
        """Close the line."""
        self.text = None
        pygame.key.stop_text_input()

    def write(self, text: str) -> None:
        """Letters were typed."""
        if self.text is not None:
            self.text += text

    def erase(self) -> None:
        """Take the last letter back."""
        if self.text:
            self.text = self.text[:-1]


class PlaySession:
    """Joins an environment, a controller and a window."""

    def __init__(
        self,
        env: gymnasium.Env[NDArray[np.uint8], Any],
        controller: Controller,
        window: DisplayWindow,
        *,
        blocks: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to play; whoever made `env` closes it.

        Args:
            env: the world; the session's worker owns it while it runs.
            controller: a KeyboardController is given the keys; any other steers by itself, commands work all the same.
            window: open already.
            clock: seconds.
            blocks: quit after so many, the first included; None plays until the player quits.
        """
        self.window = window
        self.stream = Stream(env, self._choose, blocks=blocks, clock=clock)
        self.showing: Frame | None = None
        self.overlay_on = True
        self._env = env
        self._controller = controller
        self._keyboard = controller if isinstance(controller, KeyboardController) else None
        self._action_set: ActionSet = env.get_wrapper_attr("action_set")
        self._bindings = listed(self._action_set)
        self._clock = clock
        self._rate = FrameRate()
        self._line = TextLine()
        self._overlay = Overlay()
        self._notice, self._notice_s = "", 0.0
        self._problem: str | None = None
        self._drawn_s = -REDRAW_S
        self._open_questions: list[tuple[Future[Any], Callable[[Any], str]]] = []
        self._quit = False
        self._commands: dict[str, Callable[[], None]] = {
            "return": self._reset,
            "enter": self._reset,
            ".": self._toggle_pause,
            "n": self.stream.step_once,
            "f5": self._save,
            "f9": self._restore,
            "t": self._type,
            "h": self._toggle_overlay,
            "escape": self.quit,
        }

    def run(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Play until it is over, then close the window: the block under way may take its time to finish.

        Args:
            seed: of the first rollout.
            options: of the first reset.

        Raises:
            StreamError: a block could not be made.
            ValueError: the first reset was refused.
        """
        first = self.stream.start(seed, options)
        try:
            while not self._quit:
                self.tick()
                if first.done():
                    first.result()  # raises what the reset raised
                time.sleep(POLL_S)
        finally:
            self.window.close()
            self.stream.close()

    def tick(self) -> None:
        """One round: hear the player, look at the stream, draw what has changed."""
        for event in pygame.event.get():
            self._hear(event)
        now = self._clock()
        self._read_answers(now)
        frame = self.stream.next_frame(now)
        if frame is not None and frame != self.showing:
            self._take(frame, now)
            self._draw(now)
        elif now - self._drawn_s >= REDRAW_S:
            self._draw(now)
        self._quit = self._quit or self.stream.is_over(now)

    def quit(self) -> None:
        """End the session after this round."""
        self._quit = True

    def readout(self) -> Readout:
        """What the overlay says now."""
        info: Mapping[str, Any] = self.showing.clip.info if self.showing else {}
        return Readout(
            prompt=info.get("prompt", "waiting for the first block"),
            transition=info.get("transition", ""),
            block=info.get("block", 0),
            fps=self._rate.fps,
            paused=self.stream.paused,
            receipts=self._receipts(),
            notice=self._notice,
            notice_s=self._notice_s,
            typed=self._line.text,
            bindings=self._bindings,
        )

    # Keys.

    def _hear(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.quit()
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._release_all()
        elif event.type == pygame.TEXTINPUT:
            self._line.write(event.text)
        elif event.type == pygame.KEYDOWN and self._line.open:
            self._edit(event)
        elif event.type == pygame.KEYDOWN:
            self._press(key_name(pygame.key.name(event.key)))
        elif event.type == pygame.KEYUP and self._keyboard is not None:
            self._keyboard.release(key_name(pygame.key.name(event.key)))

    def _press(self, key: str) -> None:
        if command := self._commands.get(key):
            command()
        elif self._keyboard is not None:
            self._keyboard.press(key, self._clock(), self.stream.generating)

    def _release_all(self) -> None:
        if self._keyboard is not None:
            self._keyboard.release_all()

    def _edit(self, event: pygame.event.Event) -> None:
        if event.key == pygame.K_ESCAPE:
            self._line.end()
        elif event.key == pygame.K_BACKSPACE:
            self._line.erase()
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self._submit(cut=bool(event.mod & pygame.KMOD_SHIFT))

    # Commands. The stream answers later; what it says becomes the notice.

    def _reset(self) -> None:
        self._ask_to_start_over(self.stream.new_world(), lambda _: "a new world")

    def _restore(self) -> None:
        self._ask_to_start_over(self.stream.restore(), lambda info: f"back at block {info['block']}")

    def _ask_to_start_over(self, future: Future[Any], say: Callable[[Any], str]) -> None:
        if self._keyboard is not None:  # by the worker, so before the next block is chosen
            keyboard = self._keyboard

            def forget(done: Future[Any]) -> None:
                if not done.cancelled() and done.exception() is None:  # cancelled: the window is closing
                    keyboard.forget_unshown()

            future.add_done_callback(forget)
        self._open_questions.append((future, say))

    def _save(self) -> None:
        self._open_questions.append((self.stream.save(), lambda info: f"saved at block {info['block']}"))

    def _toggle_pause(self) -> None:
        self.stream.pause(not self.stream.paused)

    def _toggle_overlay(self) -> None:
        self.overlay_on = not self.overlay_on
        self._drawn_s = -REDRAW_S

    def _type(self) -> None:
        self._release_all()
        self._line.begin()

    def _submit(self, cut: bool) -> None:
        """Ask for the typed prompt; the line closes when it is accepted, so that a mistake can be mended."""
        if self._line.text and self._line.text.strip():
            self._open_questions.append((self.stream.set_prompt(self._line.text.strip(), cut), self._accept_prompt))
        else:
            self._line.end()

    def _accept_prompt(self, _: object) -> str:
        self._line.end()
        return ""

    def _read_answers(self, now: float) -> None:
        for question in [question for question in self._open_questions if question[0].done()]:
            self._open_questions.remove(question)
            future, say = question
            error = future.exception()
            self._tell(say(future.result()) if error is None else str(error), now)
        problem = getattr(self._env, "problem", None)  # of a recording: said once, play goes on
        if problem != self._problem:
            self._problem = problem
            self._tell(problem or "", now)

    def _tell(self, notice: str, now: float) -> None:
        self._notice, self._notice_s = notice, now

    # Pictures.

    def _take(self, frame: Frame, now: float) -> None:
        if self._keyboard is not None and (self.showing is None or frame.clip is not self.showing.clip):
            self._keyboard.shown(frame.clip.info["block"], now)
        self.showing = frame
        self._rate.add(now)

    def _draw(self, now: float) -> None:
        readout = self.readout()
        write = self._overlay.draw if self.overlay_on else self._overlay.draw_essentials
        pixels = self._blank() if self.showing is None else self.showing.pixels
        self.window.show(pixels, lambda surface: write(surface, readout, now))
        self._drawn_s = now

    def _blank(self) -> NDArray[np.uint8]:
        return np.zeros(self._env.get_wrapper_attr("block_shape")[1:], np.uint8)

    def _receipts(self) -> tuple[KeyReceipt, ...]:
        if self._keyboard is None:
            return ()
        names = self._action_set.names
        return tuple(
            KeyReceipt("+".join(r.keys), names[r.action], r.pressed_s, r.block, r.shown_s)
            for r in self._keyboard.receipts
        )

    # By the worker, right before a block.

    def _choose(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        free_prompt = self._env.get_wrapper_attr("steering").free_text  # set_prompt may have changed it since the block
        return self._controller(observation, {**info, "free_prompt": free_prompt})
