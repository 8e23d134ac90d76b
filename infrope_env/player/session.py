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

from infrope_env.control.actions import ActionSet
from infrope_env.control.controller import Controller
from infrope_env.control.frames import Frames
from infrope_env.control.key_names import command_keys
from infrope_env.control.keyboard import KeyboardController
from infrope_env.control.playable import playable
from infrope_env.player.bindings import list_bindings
from infrope_env.player.inspector import Inspector
from infrope_env.player.keys import KeyReader
from infrope_env.player.live_stream import LiveKeyboard, LiveStream
from infrope_env.player.log_notices import LogNotices
from infrope_env.player.overlay import Overlay, Readout
from infrope_env.player.pace import FrameRate
from infrope_env.player.playback import ShownFrame
from infrope_env.player.prompt_line import PromptLine
from infrope_env.player.stream import Stream
from infrope_env.player.window import DisplayWindow

POLL_S = 0.005
SAME_PRESS_S = 0.3  # an Enter this soon after the last one is the same one
REDRAW_S = 1 / 16  # period of the overlay while the picture stands still


def keyboard_for(action_set: ActionSet) -> KeyboardController:
    """Return a keyboard controller with the bindings of an action set; a cut acts once per key press."""
    cuts = [index for index, action in enumerate(action_set.actions) if action.scene is not None]
    return KeyboardController(action_set.keys_to_action(), cuts, action_set.names)


class PlaySession:
    """A live session of a stream, a keyboard and a window.

    Attributes:
        window: The window.
        stream: Makes the blocks.
        shown: The pixel frame on show; None before the first block.
        overlay_on: Whether the whole overlay is drawn, or only notices and the prompt being typed.
        inspector_on: Whether the inspector is drawn, in place of the list of keys.
    """

    def __init__(
        self,
        stream: LiveStream,
        keyboard: LiveKeyboard | None,
        window: DisplayWindow,
        action_set: ActionSet,
        *,
        problem: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to play.

        Args:
            stream: Makes the blocks, here or elsewhere; the session starts and closes it.
            keyboard: Receives the key presses; without one, only the commands of the window work.
            window: An open window.
            action_set: Words and keys of the world.
            problem: Returns the reason why recording stopped, or None; a new reason is shown as a notice.
            clock: Returns seconds.
        """
        self.window, self.stream = window, stream
        self._keyboard = keyboard
        self.shown: ShownFrame | None = None
        self.overlay_on, self.inspector_on = True, False
        self._blank_frame: Frames = np.zeros((*window.frame_size, 3), np.uint8)
        self._bindings = list_bindings(action_set)
        self._clock = clock
        self._frame_rate = FrameRate()
        self._line: PromptLine | None = None  # the prompt being typed; None while keys are bindings
        self._pressed: int | None = None  # code of the newest key that went down
        self._entered_s = -SAME_PRESS_S  # time of the newest Enter
        self._world_asked: Future[Any] | None = None  # the newest new world
        self._overlay, self._inspector = Overlay(), Inspector()
        self._notice, self._notice_s = "", 0.0
        self._problem, self._log = problem, LogNotices()
        self._last_problem: str | None = None
        self._drawn_s = -REDRAW_S
        self._pending: list[tuple[Future[Any], Callable[[Future[Any]], str | None]]] = []  # with the notice for each
        self._quit = False
        commands: dict[str, Callable[[], None]] = {
            "new_world": self._new_world,
            "pause": lambda: self.stream.pause(not self.stream.paused),
            "single_step": self.stream.single_step,
            "save": self._save,
            "restore": self._restore,
            "rewind": self._rewind,
            "type_prompt": self._type_prompt,
            "inspector": self._toggle_inspector,
            "overlay": self._toggle_overlay,
            "fullscreen": self.window.toggle_fullscreen,
            "quit": self.quit,
        }
        bound = {key for keys in action_set.keys_to_action() for key in keys}
        self._commands = {key: commands[name] for key, name in command_keys(bound).items()}
        self._keys = KeyReader(bound | self._commands.keys())

    @classmethod
    def of_environment(
        cls,
        env: gymnasium.Env[Frames, Any],
        controller: Controller,
        window: DisplayWindow,
        *,
        blocks: int | None = None,
        problem: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> PlaySession:
        """Return a session that plays an environment in this process, and does not close it.

        Args:
            env: The environment; only the worker of the stream uses it while the session runs.
            controller: Chooses the actions. A KeyboardController receives the key presses; with any other controller
                the commands of the window still work.
            window: An open window.
            blocks: Number of blocks after which the session ends, those of new worlds included. None plays a script
                or storyboard to its end in the world on show, or else until the player quits.
            problem: As for the session.
            clock: As for the session.
        """
        written = getattr(controller, "total_blocks", None)
        keyboard = controller if isinstance(controller, KeyboardController) else None
        forget = (lambda: None) if keyboard is None else keyboard.forget_unshown
        stream = Stream(env, controller, blocks=blocks, written=written, clock=clock, on_replaced=forget)
        return cls(stream, keyboard, window, playable(env).action_set, problem=problem, clock=clock)

    def run(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Play until the session ends, then close the window and wait for the block that is being generated.

        Args:
            seed: Seed of the first rollout.
            options: Options of the first reset.

        Raises:
            StreamError: A block could not be generated.
            ValueError: The options of the first reset were refused.
        """
        with self._log:
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
        if self._line is not None:
            self._line.repeat(now)
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
            trouble=self.stream.trouble,
            receipts=() if self._keyboard is None else self._keyboard.receipts,
            notice=self._notice,
            notice_s=self._notice_s,
            typed=None if self._line is None else self._line.text,
            caret=None if self._line is None else self._line.caret,
            waiting=self._line is not None and self._line.waiting,
            bindings=() if self.inspector_on else self._bindings,
        )

    def _draw(self, now: float) -> None:
        pixels = self._blank_frame if self.shown is None else self.shown.pixels
        self.window.show(pixels, lambda surface: self._draw_over(surface, now))
        self._drawn_s = now

    def _draw_over(self, surface: pygame.Surface, now: float) -> None:
        """Draw the overlay, and below it the inspector."""
        if self.inspector_on:
            inspection = None if self.shown is None else self.stream.inspection_of(self.shown.block)
            top = self._inspector.draw(surface, inspection)
            surface = surface.subsurface((0, 0, surface.get_width(), top))
        draw = self._overlay.draw if self.overlay_on else self._overlay.draw_essentials
        draw(surface, self.readout(), now)

    # Events.

    def _handle_event(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.quit()
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._release_all_keys()
        elif event.type == pygame.KEYUP:
            self._release_key(event)
        elif self._line is not None and event.type in (pygame.TEXTINPUT, pygame.KEYDOWN):
            self._edit_prompt(self._line, event)
        elif event.type == pygame.KEYDOWN:
            self._press_key(event)

    def _press_key(self, event: pygame.event.Event) -> None:
        if self._keys.is_chord(event):
            return
        key = self._keys.press(event)
        self._pressed = event.key
        if command := self._commands.get(key):
            command()
        elif self._keyboard is not None:
            self._keyboard.press(key, self._clock(), self.stream.generating)

    def _release_key(self, event: pygame.event.Event) -> None:
        if self._line is not None:
            self._line.release(event)
        key = self._keys.release(event)
        if key is not None and self._keyboard is not None:
            self._keyboard.release(key)

    def _release_all_keys(self) -> None:
        self._keys.release_all()
        if self._line is not None:
            self._line.release_all()
        if self._keyboard is not None:
            self._keyboard.release_all()

    def _edit_prompt(self, line: PromptLine, event: pygame.event.Event) -> None:
        if event.type == pygame.TEXTINPUT:
            line.type(event.text)
        elif event.key == pygame.K_ESCAPE:
            self._close_line()
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self._is_new_enter()
            self._submit_prompt(line, cut=bool(event.mod & pygame.KMOD_SHIFT))
        else:
            line.press(event, self._clock())

    def _is_new_enter(self) -> bool:
        """Register an Enter; return whether it is more than the end of a double press."""
        now, before_s = self._clock(), self._entered_s
        self._entered_s = now
        return now - before_s >= SAME_PRESS_S

    # Commands. The stream completes their Futures later; `_show_results` turns the results into notices.

    def _new_world(self) -> None:
        if self._is_new_enter() and (self._world_asked is None or self._world_asked.done()):
            self._world_asked = self.stream.new_world()
            self._answer(self._world_asked, lambda _: "a new world")

    def _save(self) -> None:
        self._answer(self.stream.save(), lambda info: f"saved at block {info['block']}")

    def _restore(self) -> None:
        self._answer(self.stream.restore(), lambda info: f"back at block {info['block']}")

    def _rewind(self) -> None:
        self._answer(self.stream.rewind(), lambda info: f"stepped back to block {info['block']}")

    def _answer(self, future: Future[Any], describe: Callable[[Any], str | None]) -> None:
        """Show the result of a command, or the reason why it failed, as a notice once it is done.

        Args:
            future: The command.
            describe: Returns the notice of a result; None shows none.
        """

        def notice(done: Future[Any]) -> str | None:
            error = done.exception()
            return describe(done.result()) if error is None else str(error)

        self._pending.append((future, notice))

    def _toggle_overlay(self) -> None:
        self.overlay_on = not self.overlay_on
        self._drawn_s = -REDRAW_S

    def _toggle_inspector(self) -> None:
        self.inspector_on = not self.inspector_on
        self._drawn_s = -REDRAW_S
        measuring = self.stream.inspect(self.inspector_on)
        if self.inspector_on:
            self._answer(measuring, lambda _: None)

    def _type_prompt(self) -> None:
        self._release_all_keys()
        self._line = PromptLine(opener=self._pressed)

    def _close_line(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _submit_prompt(self, line: PromptLine, cut: bool) -> None:
        """Set the typed prompt. The line waits; if the prompt is refused, it stays open for the player to correct.

        The answer concerns this line only: after Esc, the prompt is not put in force and no notice is shown.
        """
        text = line.text.strip()
        if not text:
            self._close_line()
        if not text or line.waiting:
            return
        line.waiting = True

        def notice(done: Future[None]) -> str | None:
            if not line.is_open:
                return None
            line.waiting = False
            if (error := done.exception()) is not None:
                line.refusal = str(error)
                return line.refusal
            self._close_line()
            return "" if self._notice == line.refusal else None

        self._pending.append((self.stream.set_prompt(text, cut, wanted=lambda: line.is_open), notice))

    def _show_results(self, now: float) -> None:
        """Turn finished commands, and a recording that stopped, into the notice."""
        for finished in [pending for pending in self._pending if pending[0].done()]:
            self._pending.remove(finished)
            future, describe = finished
            if (notice := describe(future)) is not None:
                self._notice, self._notice_s = notice, now
        if (warned := self._log.take()) is not None:
            self._notice, self._notice_s = warned, now
        problem = self._problem()
        if problem != self._last_problem:
            self._last_problem = problem
            self._notice, self._notice_s = problem or "", now
