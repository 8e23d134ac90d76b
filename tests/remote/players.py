"""Clients of a test: they keep what a server sends, and wait for it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from infrope_env.control.frames import Frames
from infrope_env.remote.client import RemoteConnection
from infrope_env.remote.client_messages import Key
from infrope_env.remote.message import Message
from infrope_env.remote.server_messages import Block, Notice, Seat, State, Welcome

PATIENCE_S = 60.0


def fast_env(weights: Path, fps: int = 160) -> gymnasium.Env[Any, Any]:
    """Return an environment of the tiny model whose blocks last 75 ms."""
    env = gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), device="cpu", disable_env_checker=True)
    env.unwrapped.metadata = env.metadata | {"render_fps": fps}
    return env


class SlowReader:
    """Makes environments of the tiny model that encode no prompt until a test lets them.

    Attributes:
        reading: Set when a prompt is being encoded.
        go_on: Lets it be encoded.
    """

    def __init__(self, weights: Path, fps: int = 160) -> None:
        self.reading, self.go_on = threading.Event(), threading.Event()
        self._weights, self._fps = weights, fps

    def __call__(self) -> gymnasium.Env[Any, Any]:
        env = fast_env(self._weights, self._fps)
        encode = env.unwrapped.encode_prompts  # type: ignore[attr-defined]

        def encode_later(texts: Iterable[str]) -> None:
            self.reading.set()
            assert self.go_on.wait(PATIENCE_S)
            encode(texts)

        env.unwrapped.encode_prompts = encode_later  # type: ignore[attr-defined]
        return env


class Player:
    """A client that keeps every message.

    Attributes:
        connection: Its connection.
        blocks: Blocks with their bodies and the times at which they came.
        messages: All other messages.
        losses: Reasons why the connection was lost.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.blocks: list[tuple[Block, bytes, float]] = []
        self.messages: list[Message] = []
        self.losses: list[str] = []
        self._changed = threading.Condition()
        self.connection = RemoteConnection(
            url, on_message=self._take, on_connection=self._note, **{"encodings": ("raw",)} | options
        )
        self._seq = 0

    def open(self) -> Welcome:
        welcome = self.connection.open()
        self._seq = max(self._seq, welcome.next_seq - 1)
        return welcome

    def key(self, name: str, down: bool) -> int:
        self._seq += 1
        self.connection.send(Key(seq=self._seq, key=name, down=down))
        return self._seq

    def tap(self, name: str) -> int:
        seq = self.key(name, True)
        self.key(name, False)
        return seq

    def ask(self, kind: type[Any], body: bytes | None = None, **fields: Any) -> Any:
        return self.connection.request(kind, body, **fields).result(PATIENCE_S)[0]

    def wait(self, reached: Callable[[], Any]) -> Any:
        """Return the first true value of a function; it is asked again after every message."""
        deadline_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while not (value := reached()):
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, (self.losses, self.messages[-3:], [block.info for block, *_ in self.blocks[-3:]])
                self._changed.wait(min(left_s, 0.25))
        return value

    def wait_for_blocks(self, count: int) -> None:
        """Wait for so many more blocks."""
        wanted = len(self.blocks) + count
        self.wait(lambda: len(self.blocks) >= wanted)

    def answer_to(self, seq: int) -> Block:
        """Return the block that answers a key event."""
        return self.wait(lambda: next((b for b, *_ in self.blocks if seq in [each["seq"] for each in b.answers]), None))

    def newest(self, kind: type[Any]) -> Any:
        return next((message for message in reversed(self.messages) if isinstance(message, kind)), None)

    def welcome(self, number: int) -> Welcome:
        """Wait for the welcome of a connection, from 1 for the first, and return it."""

        def find() -> Welcome | None:
            welcomes = [each for each in self.messages if isinstance(each, Welcome)]
            return welcomes[number - 1] if len(welcomes) >= number else None

        return self.wait(find)

    @property
    def state(self) -> State:
        """The newest state; the first one may still be on its way."""
        return self.wait(lambda: self.newest(State))

    @property
    def seats(self) -> list[tuple[str, int]]:
        return [(each.seat, each.place) for each in self.messages if isinstance(each, Seat)]

    @property
    def notices(self) -> list[str]:
        return [each.text for each in self.messages if isinstance(each, Notice)]

    def frames(self, index: int = -1) -> Frames:
        """Return the pixel frames of a raw block."""
        block, body, _ = self.blocks[index]
        height, width = self.connection.welcome.block_shape[1:3]
        return np.frombuffer(body[: sum(block.sizes)], np.uint8).reshape(block.info["num_frames"], height, width, 3)

    def _take(self, message: Message, body: bytes) -> None:
        with self._changed:
            if isinstance(message, Block):
                self.blocks.append((message, body, time.monotonic()))
            else:
                self.messages.append(message)
            self._changed.notify_all()

    def _note(self, is_connected: bool, reason: str) -> None:
        with self._changed:
            if not is_connected:
                self.losses.append(reason)
            self._changed.notify_all()


@contextmanager
def playing(url: str, **options: Any) -> Iterator[Player]:
    """Connect a client until the block ends."""
    player = Player(url, **options)
    player.open()
    try:
        yield player
    finally:
        player.connection.close()
