"""A live session: sends keys to the controller and the stream, and pixel frames to the window.

The thread that runs the session only handles events and draws; the worker of the stream generates the blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import gymnasium
import numpy as np
import pygame

from controllers.keyboard import KeyboardController
from infrope_env.control.actions import ActionSet
from infrope_env.control.controller import Controller
from infrope_env.control.frames import Frames
from infrope_env.control.key_names import command_keys
from infrope_env.control.playable import playable
from infrope_env.player.bindings import list_bindings
from infrope_env.player.keys import KeyReader
from infrope_env.player.overlay import Overlay, Readout
from infrope_env.player.pace import FrameRate
from infrope_env.player.playback import ShownFrame
from infrope_env.player.stream import Stream
from infrope_env.player.window import DisplayWindow

POLL_S = 0.005
REDRAW_S = 1 / 16  # period of the overlay while the picture stands still


def keyboard_for(action_set: ActionSet) -> KeyboardController:
    """Return a keyboard controller with the bindings of an action set; a cut acts once per key press."""
    cuts = [index for index, action in enumerate(action_set.actions) if action.scene is not None]
    return KeyboardController(action_set.keys_to_action(), cuts, action_set.names)


class TextLine:
    """A prompt that is being typed.

    Attributes:
        text: The text so far; None while the line is closed and keys are bindings.
    """

    def __init__(self) -> None:
        self.text: str | None = None

    def open(self) -> None:
        """Open an empty line."""
        self.text = ""
        pygame.key.start_text_input()

    def close(self) -> None:
        """Close the line."""
        self.text = None
        pygame.key.stop_text_input()

    def append(self, text: str) -> None:
        """Append typed text, if the line is open."""
        if self.text is not None:
            self.text += text

    def erase(self) -> None:
        """Remove the last character."""
        if self.text:
            self.text = self.text[:-1]


class PlaySession:
    """A live session of an environment, a controller and a window.

    Attributes:
        window: The window.
        stream: Generates the blocks.
        shown: The pixel frame on show; None before the first block.
        overlay_on: Whether the whole overlay is drawn, or only notices and the prompt being typed.
    """

    def __init__(
        self,
        env: gymnasium.Env[Frames, Any],
        controller: Controller,
        window: DisplayWindow,
        *,
        blocks: int | None = None,
        problem: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to play. The session does not close `env`.

        Args:
            env: The environment; only the worker of the stream uses it while the session runs.
            controller: Chooses the actions. A KeyboardController receives the key presses; with any other controller
                the commands of the window still work.
            window: An open window.
            blocks: Number of blocks after which the session ends, those of new worlds included. None plays a script
                or storyboard to its end in the world on show, or else until the player quits.
            problem: Returns the reason why recording stopped, or None; a new reason is shown as a notice.
            clock: Returns seconds.
        """
        self.window = window
        written = getattr(controller, "total_blocks", None)
        self.stream = Stream(env, controller, blocks=blocks, written=written, clock=clock)
        self.shown: ShownFrame | None = None
        self.overlay_on = True
        self._blank_frame: Frames = np.zeros(playable(env).block_shape[1:], np.uint8)
        self._keyboard = controller if isinstance(controller, KeyboardController) else None
        self._bindings = list_bindings(playable(env).action_set)
        self._clock = clock
        self._frame_rate = FrameRate()
        self._text_line = TextLine()
        self._overlay = Overlay()
        self._notice, self._notice_s = "", 0.0
        self._problem = problem
        self._last_problem: str | None = None
        self._drawn_s = -REDRAW_S
        self._pending: list[tuple[Future[Any], Callable[[Any], str]]] = []  # with the notice for each result
        self._quit = False
        commands: dict[str, Callable[[], None]] = {
            "new_world": self._new_world,
            "pause": lambda: self.stream.pause(not self.stream.paused),
            "single_step": self.stream.single_step,
            "save": self._save,
            "restore": self._restore,
            "type_prompt": self._type_prompt,
            "overlay": self._toggle_overlay,
            "quit": self.quit,
        }
        bound = {key for keys in playable(env).action_set.keys_to_action() for key in keys}
        self._commands = {key: commands[name] for key, name in command_keys(bound).items()}
        self._keys = KeyReader(bound | self._commands.keys())

    def run(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Play until the session ends, then close the window and wait for the block that is being generated.

        Args:
            seed: Seed of the first rollout.
            options: Options of the first reset.

        Raises:
            StreamError: A block could not be generated.
            ValueError: The options of the first reset were refused.
        """
        first = self.stream.start(seed, options)
        try:
            while not self._quit:
                self.tick()
                if first.done():
                    first.result()  # raises the error of the reset
                time.sleep(POLL_S)
        finally:
            self.window.close()
            self.stream.close()

    def tick(self) -> None:
        """Handle events and finished commands, then draw if something has changed."""
        for event in pygame.event.get():
            self._handle_event(event)
        now = self._clock()
        self._show_results(now)
        frame = self.stream.frame_to_show(now)
        if frame is not None and frame != self.shown:
            if self._keyboard is not None and (self.shown is None or frame.block is not self.shown.block):
                self._keyboard.shown(frame.block.info["block"], now)
            self.shown = frame
            self._frame_rate.add(now)
            self._draw(now)
        elif now - self._drawn_s >= REDRAW_S:
            self._draw(now)
        self._quit = self._quit or self.stream.is_finished(now)

    def quit(self) -> None:
        """End the session after this tick."""
        self._quit = True

    def readout(self) -> Readout:
        """Return the present content of the overlay."""
        info: Mapping[str, Any] = self.shown.block.info if self.shown else {}
        return Readout(
            prompt=info.get("prompt", "waiting for the first block"),
            transition=info.get("transition", ""),
            block=info.get("block", 0),
            fps=self._frame_rate.fps,
            paused=self.stream.paused,
            receipts=() if self._keyboard is None else self._keyboard.receipts,
            notice=self._notice,
            notice_s=self._notice_s,
            typed=self._text_line.text,
            bindings=self._bindings,
        )

    def _draw(self, now: float) -> None:
        readout = self.readout()
        draw = self._overlay.draw if self.overlay_on else self._overlay.draw_essentials
        pixels = self._blank_frame if self.shown is None else self.shown.pixels
        self.window.show(pixels, lambda surface: draw(surface, readout, now))
        self._drawn_s = now

    # Events.

    def _handle_event(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.quit()
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._release_all_keys()
        elif event.type == pygame.TEXTINPUT:
            self._text_line.append(event.text)
        elif event.type == pygame.KEYDOWN and self._text_line.text is not None:
            self._edit_prompt(event)
        elif event.type == pygame.KEYDOWN:
            self._press_key(event)
        elif event.type == pygame.KEYUP:
            self._release_key(event)

    def _press_key(self, event: pygame.event.Event) -> None:
        if self._keys.is_chord(event):
            return
        key = self._keys.press(event)
        if command := self._commands.get(key):
            command()
        elif self._keyboard is not None:
            self._keyboard.press(key, self._clock(), self.stream.generating)

    def _release_key(self, event: pygame.event.Event) -> None:
        key = self._keys.release(event)
        if key is not None and self._keyboard is not None:
            self._keyboard.release(key)

    def _release_all_keys(self) -> None:
        self._keys.release_all()
        if self._keyboard is not None:
            self._keyboard.release_all()

    def _edit_prompt(self, event: pygame.event.Event) -> None:
        if event.key == pygame.K_ESCAPE:
            self._text_line.close()
        elif event.key == pygame.K_BACKSPACE:
            self._text_line.erase()
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self._submit_prompt(cut=bool(event.mod & pygame.KMOD_SHIFT))

    # Commands. The stream completes their Futures later; `_show_results` turns the results into notices.

    def _new_world(self) -> None:
        future = self.stream.new_world()
        self._forget_unshown_receipts(future)
        self._pending.append((future, lambda _: "a new world"))

    def _save(self) -> None:
        self._pending.append((self.stream.save(), lambda info: f"saved at block {info['block']}"))

    def _restore(self) -> None:
        future = self.stream.restore()
        self._forget_unshown_receipts(future)
        self._pending.append((future, lambda info: f"back at block {info['block']}"))

    def _toggle_overlay(self) -> None:
        self.overlay_on = not self.overlay_on
        self._drawn_s = -REDRAW_S

    def _type_prompt(self) -> None:
        self._release_all_keys()
        self._text_line.open()

    def _submit_prompt(self, cut: bool) -> None:
        """Set the typed prompt. The line stays open if the prompt is refused, so that the player can correct it."""

        def accept(_: object) -> str:
            self._text_line.close()
            return ""

        if self._text_line.text and self._text_line.text.strip():
            self._pending.append((self.stream.set_prompt(self._text_line.text.strip(), cut), accept))
        else:
            self._text_line.close()

    def _forget_unshown_receipts(self, future: Future[Any]) -> None:
        """Drop the receipts of unshown blocks that a reset or a restore has replaced, once it has succeeded.

        The worker runs this when it completes the Future, before the next action is chosen.
        """
        if (keyboard := self._keyboard) is None:
            return

        def forget(done: Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None:  # cancelled: the window is closing
                keyboard.forget_unshown()

        future.add_done_callback(forget)

    def _show_results(self, now: float) -> None:
        """Turn finished commands, and a recording that stopped, into the notice."""
        for finished in [pending for pending in self._pending if pending[0].done()]:
            self._pending.remove(finished)
            future, describe = finished
            error = future.exception()
            self._notice, self._notice_s = describe(future.result()) if error is None else str(error), now
        problem = self._problem()
        if problem != self._last_problem:
            self._last_problem = problem
            self._notice, self._notice_s = problem or "", now
