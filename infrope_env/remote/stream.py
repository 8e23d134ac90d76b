"""The blocks of a server as the stream of a play session: `PlaySession` plays it as it plays an environment here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrope_env.control.actions import ActionSet
from infrope_env.player.inspection import Inspection
from infrope_env.player.playback import BlockFrames, Info, ShownFrame
from infrope_env.player.stream import StreamError
from infrope_env.remote.address import ServerAddress
from infrope_env.remote.answers import info_of, refused
from infrope_env.remote.client import Answer, RemoteConnection
from infrope_env.remote.client_messages import (
    Command,
    Inspect,
    Key,
    NewWorld,
    Pause,
    ReleaseAll,
    Reset,
    Restore,
    Rewind,
    Save,
    SetPrompt,
    Shown,
    SingleStep,
)
from infrope_env.remote.decoding import BlockDecoder
from infrope_env.remote.inspecting import RemoteInspector
from infrope_env.remote.jitter import JitterBuffer
from infrope_env.remote.keyboard import RemoteKeyboard
from infrope_env.remote.message import Encoding, Message
from infrope_env.remote.server_messages import Block, Notice, State, Strip, Welcome

ENCODINGS: tuple[Encoding, ...] = ("h264", "jpeg")


@dataclass(frozen=True, eq=False)
class RemoteBlock(BlockFrames):
    """A block of a server, ready to be shown.

    Attributes:
        seq: Number of the block in its rollout.
    """

    seq: int = 0


class RemoteStream:
    """The stream of a rollout on a server; `LiveStream` describes what a session uses of it.

    The thread of the connection decodes blocks while another one shows them.

    Attributes:
        paused: Whether the rollout is paused.
        generating: Always False: the server knows whether a key comes too late for a block.
        keyboard: Sends the keys of the player and keeps their receipts.
        action_set: Words and keys of the server's world.
        frame_size: Height and width of the pixel frames.
        steers: Whether the player steers the rollout, now or after waiting for a seat; not with a viewer's link.
        title: Id of the server's environment.
        connection: The connection to the server.
    """

    generating = False
    keyboard: RemoteKeyboard  # this and what follows comes with the welcome
    action_set: ActionSet
    frame_size: tuple[int, int]
    title: str

    def __init__(
        self,
        url: str,
        token: str | None = None,
        encodings: Sequence[Encoding] = ENCODINGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to a server.

        Args:
            url: URL that the server printed.
            token: Its token; None takes that of the URL.
            encodings: Encodings of the pixel frames, the preferred one first.
            clock: Returns seconds.

        Raises:
            RemoteError: There is no server, or it refused the connection.
            ValueError: The URL is none of a server.
        """
        self.paused = False
        self._clock, self._lock = clock, threading.Lock()
        self._buffer, self._decoder = JitterBuffer(), BlockDecoder()
        self._inspector = RemoteInspector(lambda on: self._request(Inspect, on=on))
        self._shown: ShownFrame | None = None
        self._next_seq = 1
        self._reason, self._notice, self._is_away = "", "", False
        self.steers = not ServerAddress.parse(url).rollout
        self.connection = RemoteConnection(
            url,
            token=token,
            role="player" if self.steers else "viewer",
            encodings=encodings,
            client="infrope play",
            on_message=self._take,
            on_connection=self._note_connection,
        )
        self._prompts: list[tuple[Future[Answer], Callable[[], bool]]] = []  # without an answer; whether still wanted
        self._is_open = False
        self.connection.open()  # `_take` is given the welcome before any block

    # What a session uses.

    @property
    def trouble(self) -> str:
        """Why no block comes now, in a sentence; empty otherwise."""
        if self._reason:
            return f"{self._reason} Connecting again. Your world is kept for a while."
        if self.connection.seat == "queued":
            return f"All seats are taken: place {self.connection.place} in the queue. Watching until then."
        return "The player has lost the connection." if self._is_away else ""

    @property
    def notice(self) -> str | None:
        """The newest notice of the server; None before one."""
        return self._notice or None

    def start(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Play the server's world, or with a seed or options begin another one.

        Args:
            seed: Seed of a new rollout.
            options: Texts "subject", "scene", "motion" and "prompt" of a new rollout, and "image", the path of a
                picture file to start from.
        """
        if seed is None and not options:
            began: Future[Info] = Future()
            began.set_result({})
            return began
        texts = {name: text for name, text in (options or {}).items() if name != "image"}
        image = (options or {}).get("image")
        picture = b"" if image is None else Path(image).read_bytes()
        return self._request(Reset, picture, seed=seed, options=texts)

    def close(self) -> None:
        """Leave the session on the server."""
        self.connection.close()

    def frame_to_show(self, now: float | None = None) -> ShownFrame | None:
        """Return the pixel frame to show at `now`, by default the time of the clock; None before the first block.

        Raises:
            StreamError: The server has ended the session.
        """
        if (failure := self.connection.failure) is not None:
            raise StreamError(str(failure))
        self._withdraw_prompts()
        with self._lock:
            self._shown = self._buffer.frame_at(self._clock() if now is None else now)
            return self._shown

    def is_finished(self, now: float) -> bool:
        """Return False: play has no end."""
        return False

    def pause(self, paused: bool) -> None:
        """Stop beginning and showing blocks, or continue."""
        self.connection.request(Pause, paused=paused)

    def single_step(self) -> None:
        """Show one more block while paused."""
        if self.paused:
            self.connection.request(SingleStep)

    def new_world(self) -> Future[Info]:
        """Begin a rollout with another seed, the same subject and the same scene."""
        return self._request(NewWorld)

    def save(self) -> Future[Info]:
        """Save the state after the newest block, on the server."""
        return self._request(Save)

    def restore(self) -> Future[Info]:
        """Restore the saved state."""
        return self._request(Restore)

    def rewind(self) -> Future[Info]:
        """Step back to the block before the one on show; ValueError when the server is too old to do that."""
        return self._request(Rewind) if "rewind" in self._known else refused("the server cannot step back: update it")

    def inspect(self, on: bool) -> Future[None]:
        """Ask for what blocks saw from now on, with their attention mass, or no longer.

        It is refused where the server does not tell, or cannot measure attention.
        """
        if "inspector" not in self._known:
            return refused("the server does not tell what its model sees")
        return self._inspector.switch(on)

    def inspection_of(self, block: BlockFrames) -> Inspection | None:
        """Return what a block saw; None where that is not known."""
        seq = block.seq if isinstance(block, RemoteBlock) else 0
        return block.inspection or self._inspector.late(seq)

    def set_prompt(self, text: str, cut: bool = False, wanted: Callable[[], bool] = lambda: True) -> Future[None]:
        """Put free text in force from the next block on.

        Args:
            text: The prompt.
            cut: Whether the next block cuts to it.
            wanted: Returns whether the prompt is still wanted; asked with every pixel frame until the server has
                answered. A prompt that is not is taken back, unless it is in force already.
        """
        answer = self.connection.request(SetPrompt, text=text, cut=cut)
        self._prompts.append((answer, wanted))
        return info_of(answer)

    def _withdraw_prompts(self) -> None:
        """Take back the prompts that are not wanted any more."""
        for answer, wanted in list(self._prompts):
            is_wanted = wanted()
            if answer.done() or not is_wanted:
                self._prompts.remove((answer, wanted))
            if not is_wanted:
                self.connection.withdraw(answer)

    def _request(self, kind: type[Command], body: bytes | None = None, **fields: Any) -> Future[Any]:
        """Send a command; return the Future of the info in its result, or of the reason of a refusal."""
        return info_of(self.connection.request(kind, body, **fields))

    # Called by the thread of the connection.

    def _take(self, message: Message, body: bytes) -> None:
        if isinstance(message, Block):
            self._add(message, body)
        elif isinstance(message, Strip):
            self._add_strip(message, body)
        elif isinstance(message, Welcome):
            self._begin(message)
        elif isinstance(message, State):
            self._expect_gap(message.paused, message.away)
        elif isinstance(message, Notice):
            self._notice = message.text

    def _begin(self, welcome: Welcome) -> None:
        self._next_seq = welcome.next_seq
        self._expect_gap(welcome.paused, False)
        if self._is_open:
            self.keyboard.press_held_again(self._clock())  # the server let all keys go when the connection was lost
            self._inspector.ask_again()
            return
        self._is_open, self.title = True, welcome.env
        self._known = {command.get("name") for command in welcome.commands}
        self.action_set = ActionSet.from_dict(welcome.actions, source="action set of the server")
        self.frame_size = (welcome.block_shape[1], welcome.block_shape[2])
        self.keyboard = RemoteKeyboard(self.action_set, self._send_key, self._send_release_all, self._report_shown)

    def _expect_gap(self, paused: bool, away: bool) -> None:
        with self._lock:
            self._buffer.gap()
        self.paused, self._is_away = paused, away

    def _add(self, message: Block, body: bytes) -> None:
        try:
            frames = self._decoder.decode(message.encoding, body, message.sizes, self.frame_size)
            inspection = self._inspector.read(message, body)
        except (ValueError, OSError) as error:
            self._notice = f"A block could not be decoded: {error}"
            return
        if message.immediate:
            self.keyboard.forget_unshown()
        self.keyboard.answer(message.answers, message.info["block"])
        block = RemoteBlock(frames, message.info, message.immediate, message.seq, inspection=inspection)
        with self._lock:
            self._buffer.add(block, message.frame_ms / 1000, self._clock())

    def _add_strip(self, message: Strip, body: bytes) -> None:
        try:
            self._inspector.add_late(message, body)
        except (ValueError, OSError) as error:
            self._notice = f"What a block saw could not be decoded: {error}"

    def _note_connection(self, is_connected: bool, reason: str) -> None:
        self._reason = "" if is_connected else reason or "The connection is lost."
        with self._lock:
            self._buffer.gap()

    # Called by the keyboard.

    def _send_key(self, key: str, down: bool, now: float) -> int | None:
        return self._send_event(lambda seq: Key(seq=seq, key=key, down=down, time_ms=1000 * now))

    def _send_release_all(self) -> None:
        self._send_event(lambda seq: ReleaseAll(seq=seq))

    def _send_event(self, make: Callable[[int], Message]) -> int | None:
        """Send a numbered event; return its number, or None when it is lost because the connection is."""
        seq = self._next_seq
        if not self.connection.send(make(seq)):
            return None
        self._next_seq += 1
        return seq

    def _report_shown(self, latencies_s: list[float]) -> None:
        if self._shown is not None and isinstance(block := self._shown.block, RemoteBlock):
            latencies_ms = [1000 * each for each in latencies_s]
            late_ms = 1000 * self._buffer.late_s
            self.connection.send(Shown(seq=block.seq, key_to_pixel_ms=latencies_ms, late_ms=late_ms))
