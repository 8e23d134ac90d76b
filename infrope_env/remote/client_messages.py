"""The messages that a client sends; PROTOCOL.md says when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from infrope_env.remote.message import Message, Name, Prompt, Role


@dataclass(frozen=True, kw_only=True)
class Hello(Message):
    """The first message of a client.

    Attributes:
        version: Version of the protocol that the client speaks.
        role: Wanted role.
        encodings: Encodings that the client reads, the preferred one first.
        session: Id of the session to resume; empty begins a new one.
        rollout: Id of the rollout to watch; empty means the first one. For viewers.
        client: Name and version of the client, for the log.
    """

    type: ClassVar[str] = "hello"
    version: int
    role: Role = "player"
    encodings: list[Name] = field(default_factory=lambda: ["jpeg"])
    session: Name = ""
    rollout: Name = ""
    client: Name = ""


@dataclass(frozen=True, kw_only=True)
class Key(Message):
    """A key or button that goes down or up.

    Attributes:
        seq: Number of the event; it grows by one with each. Numbers that were received already are ignored.
        key: Name of the key as action sets write it, or "action:NAME" for an on-screen button.
        down: Whether it goes down.
        time_ms: Time on the client's clock.
    """

    type: ClassVar[str] = "key"
    seq: int
    key: Name
    down: bool
    time_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ReleaseAll(Message):
    """All keys go up, because the client lost the focus.

    Attributes:
        seq: Number of the event, as in `Key`.
    """

    type: ClassVar[str] = "release_all"
    seq: int


@dataclass(frozen=True, kw_only=True)
class Command(Message):
    """A request that the server answers by one `Result`.

    Attributes:
        id: Number that the result repeats; the client chooses it.
    """

    id: int


@dataclass(frozen=True, kw_only=True)
class SetPrompt(Command):
    """Put free text in force from the next block on.

    Attributes:
        text: The prompt.
        cut: Whether the next block cuts to it.
    """

    type: ClassVar[str] = "set_prompt"
    text: Prompt
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Withdraw(Command):
    """Take a prompt back that is still being read; one that is in force stays. Its own result has no error.

    Attributes:
        command: Number of its `SetPrompt`.
    """

    type: ClassVar[str] = "withdraw"
    command: int


@dataclass(frozen=True, kw_only=True)
class Pause(Command):
    """Stop beginning and showing blocks, or continue.

    Attributes:
        paused: Whether to stop.
    """

    type: ClassVar[str] = "pause"
    paused: bool


@dataclass(frozen=True, kw_only=True)
class SingleStep(Command):
    """Show one more block while paused."""

    type: ClassVar[str] = "single_step"


@dataclass(frozen=True, kw_only=True)
class NewWorld(Command):
    """Begin a rollout with another seed, the same subject and the same scene."""

    type: ClassVar[str] = "new_world"


@dataclass(frozen=True, kw_only=True)
class Reset(Command):
    """Begin a rollout. The body is a picture file to start from, or empty.

    Attributes:
        seed: Seed of the noise; None draws one.
        options: Texts by name: "subject", "scene", "motion", "prompt", "variation".
        raw_picture: Height and width of a body of raw RGB bytes; empty means that the body is a picture file.
    """

    type: ClassVar[str] = "reset"
    has_body: ClassVar[bool] = True
    seed: int | None = None
    options: dict[str, Prompt] = field(default_factory=dict)
    raw_picture: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Save(Command):
    """Save the state after the newest block. A player has one saved state, an agent gets a handle for each."""

    type: ClassVar[str] = "save"


@dataclass(frozen=True, kw_only=True)
class Restore(Command):
    """Go back to a saved state.

    Attributes:
        handle: Handle of the state; empty for a player.
    """

    type: ClassVar[str] = "restore"
    handle: Name = ""


@dataclass(frozen=True, kw_only=True)
class Rewind(Command):
    """Step back to the block before the one on show."""

    type: ClassVar[str] = "rewind"


@dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Send what every block saw, with its attention mass, or no longer. Viewers may ask, too.

    Attributes:
        on: Whether to send it.
    """

    type: ClassVar[str] = "inspect"
    on: bool


@dataclass(frozen=True, kw_only=True)
class Forget(Command):
    """Discard saved states of an agent.

    Attributes:
        handles: Their handles; unknown ones are ignored.
    """

    type: ClassVar[str] = "forget"
    handles: list[Name]


@dataclass(frozen=True, kw_only=True)
class Step(Command):
    """Make the next block of an agent.

    Attributes:
        action: Index of the action.
    """

    type: ClassVar[str] = "step"
    action: int


@dataclass(frozen=True, kw_only=True)
class EncodePrompts(Command):
    """Encode prompts ahead of an agent's steps.

    Attributes:
        texts: The prompts.
    """

    type: ClassVar[str] = "encode_prompts"
    texts: list[Prompt]


@dataclass(frozen=True, kw_only=True)
class Ack(Message):
    """A block has been received. Without it, the server soon sends no more blocks.

    Attributes:
        seq: Sequence number of the block.
    """

    type: ClassVar[str] = "ack"
    seq: int


@dataclass(frozen=True, kw_only=True)
class Shown(Message):
    """The first pixel frame of a block is on show.

    Attributes:
        seq: Sequence number of the block.
        key_to_pixel_ms: Milliseconds from each key press that the block answers.
        late_ms: Milliseconds for which the last frame of the block before was held too long.
    """

    type: ClassVar[str] = "shown"
    seq: int
    key_to_pixel_ms: list[float] = field(default_factory=list)
    late_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pong(Message):
    """The answer to `Ping`, at once.

    Attributes:
        time_ms: That of the ping.
    """

    type: ClassVar[str] = "pong"
    time_ms: float


@dataclass(frozen=True, kw_only=True)
class Leave(Message):
    """The session ends now: its seat is free at once, not only after the time in which it could be resumed.

    Attributes:
        may_return: Whether the client may be back in a moment: a page that goes does not know whether it is loaded
            again. The session can be resumed as if the connection were lost, but another player may have the seat
            after some seconds.
    """

    type: ClassVar[str] = "leave"
    may_return: bool = False


FROM_CLIENT: tuple[type[Message], ...] = (
    *(Hello, Key, ReleaseAll, SetPrompt, Withdraw, Pause, SingleStep, NewWorld, Reset, Save, Restore, Rewind),
    *(Inspect, Forget, Step, EncodePrompts, Ack, Shown, Pong, Leave),
)
