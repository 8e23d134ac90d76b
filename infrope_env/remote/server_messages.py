"""The messages that a server sends; PROTOCOL.md says when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from infrope_env.remote.message import Encoding, Message, SeatName, StripFields


@dataclass(frozen=True, kw_only=True)
class Welcome(Message):
    """The answer to `Hello`.

    Attributes:
        version: Version of the protocol.
        server: Name and version of the server.
        session: Secret id with which this session is resumed.
        resumed: Whether the session existed already.
        seat: "player", "viewer", "agent" or "queued".
        place: Place in the queue from 1; 0 unless queued.
        rollout: Id of the rollout on show.
        encoding: Encoding of all blocks.
        codec: Codec string for WebCodecs; empty unless the encoding is h264.
        next_seq: Least number of the client's next key event.
        env: Id of the environment.
        block_shape: Shape of a whole observation, t H W 3.
        frame_rate: Pixel frames per second.
        actions: The action set, as its TOML structure.
        buttons: Every action for on-screen buttons: action, name, label, kind ("motion" or "cut"), keys, key.
        commands: Every command of the window: name, keys, label, effect.
        presets: Prompts to choose from.
        window: Every field of the attention window.
        pictures: Whether a rollout can start from a picture.
        recording: Whether rollouts are recorded on the server.
        viewer_path: Path and query of the page for viewers of this rollout.
        paused: Whether the rollout is paused.
        saved: Index of the block of the saved state; None without one.
        heartbeat_s: Seconds between two pings.
        lost_s: Seconds of silence after which a connection is lost.
        resume_s: Seconds for which a lost session can be resumed.
        most_unacknowledged: Blocks that are sent before the first of them is acknowledged.
        most_prompt_characters: Longest prompt.
        most_picture_bytes: Largest picture file.
    """

    type: ClassVar[str] = "welcome"
    version: int
    server: str
    session: str
    resumed: bool
    seat: SeatName
    place: int
    rollout: str
    encoding: Encoding
    codec: str
    next_seq: int
    env: str
    block_shape: list[int]
    frame_rate: float
    actions: dict[str, Any]
    buttons: list[dict[str, Any]]
    commands: list[dict[str, Any]]
    presets: list[str]
    window: dict[str, Any]
    pictures: bool
    recording: bool
    viewer_path: str
    paused: bool
    saved: int | None
    heartbeat_s: float
    lost_s: float
    resume_s: float
    most_unacknowledged: int
    most_prompt_characters: int
    most_picture_bytes: int


@dataclass(frozen=True, kw_only=True)
class Seat(Message):
    """The client's seat or its place in the queue has changed.

    Attributes:
        seat: As in `Welcome`.
        place: As in `Welcome`.
        rollout: As in `Welcome`.
        viewer_path: As in `Welcome`.
    """

    type: ClassVar[str] = "seat"
    seat: SeatName
    place: int
    rollout: str
    viewer_path: str


@dataclass(frozen=True, kw_only=True)
class State(Message):
    """The state of the rollout on show has changed.

    Attributes:
        paused: Whether it is paused.
        saved: Index of the block of the saved state; None without one.
        viewers: Number of viewers, queued players included.
        away: Whether its player has lost the connection: nothing is made until it is back.
    """

    type: ClassVar[str] = "state"
    paused: bool
    saved: int | None
    viewers: int
    away: bool


@dataclass(frozen=True, kw_only=True)
class Block(Message):
    """The pixel frames of a block, in the body.

    Attributes:
        seq: Sequence number, which grows by one with every block of the rollout, across resets and restores.
        rollout: Id of the rollout.
        info: Info of the environment.
        immediate: Whether the block replaces at once what is on show or waits, because of a reset or a restore.
        due_ms: Milliseconds after which the block is due on the server's clock; 0 is now.
        frame_ms: Milliseconds for which each pixel frame is shown.
        encoding: As in `Welcome`.
        sizes: Bytes of each pixel frame in the body, in order.
        answers: Key presses of the receiver that the block answers: seq, action, name.
        timings: Milliseconds by part.
        dropped: Blocks dropped for this client since the one before.
        strip: What the block saw, if the client asks for it and it is known. The body ends with its picture.
    """

    type: ClassVar[str] = "block"
    has_body: ClassVar[bool] = True
    seq: int
    rollout: str
    info: dict[str, Any]
    immediate: bool
    due_ms: float
    frame_ms: float
    encoding: Encoding
    sizes: list[int]
    answers: list[dict[str, Any]]
    timings: dict[str, float]
    dropped: int
    strip: StripFields | None = None


@dataclass(frozen=True, kw_only=True)
class Strip(Message):
    """The strip of a block that was sent before the client asked; the body is its picture.

    Attributes:
        seq: Sequence number of the block.
        info: Info of the block.
        strip: The frames that it saw.
    """

    type: ClassVar[str] = "strip"
    has_body: ClassVar[bool] = True
    seq: int
    info: dict[str, Any]
    strip: StripFields


@dataclass(frozen=True, kw_only=True)
class Result(Message):
    """The answer to a command. For an agent, the body has the valid frames of the newest block, t H W 3 uint8.

    Attributes:
        id: Number of the command.
        error: Why the command was refused, in a sentence; empty if it was not. Nothing has changed then.
        kind: Name of the error in Python, such as "ValueError"; empty without one.
        info: Info of the newest block; empty where the command has none.
        handle: Handle of a saved state; empty otherwise.
        reward: Reward of a step.
        terminated: Whether the step ended the episode.
        truncated: Whether the step cut off the episode.
        timings: Milliseconds of an agent's block, by part.
    """

    type: ClassVar[str] = "result"
    has_body: ClassVar[bool] = True
    id: int
    error: str = ""
    kind: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    handle: str = ""
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Notice(Message):
    """A sentence for the people who look at the rollout, such as why recording stopped.

    Attributes:
        text: The sentence.
    """

    type: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True, kw_only=True)
class Error(Message):
    """The last message before the server closes the connection.

    Attributes:
        code: "version", "busy", "limit", "malformed", "replaced", "failed" or "stopping".
        text: The reason in a sentence.
        retry: Whether connecting again can help.
    """

    type: ClassVar[str] = "error"
    code: str
    text: str
    retry: bool


@dataclass(frozen=True, kw_only=True)
class Ping(Message):
    """A sign of life, to be answered by `Pong` at once.

    Attributes:
        time_ms: Time on the server's clock.
        rtt_ms: Milliseconds from the ping before to its pong; 0 before the first.
    """

    type: ClassVar[str] = "ping"
    time_ms: float
    rtt_ms: float


FROM_SERVER: tuple[type[Message], ...] = (Welcome, Seat, State, Block, Strip, Result, Notice, Error, Ping)
