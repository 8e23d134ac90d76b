"""The base of all messages, and the types of their fields, which both sides check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypedDict

from infrope_env.player.inspection import Kind

MOST_NAME_CHARACTERS = 100
MOST_PROMPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Most:
    """The bound of a text.

    Attributes:
        characters: Its greatest length.
    """

    characters: int


Name = Annotated[str, Most(MOST_NAME_CHARACTERS)]
Prompt = Annotated[str, Most(MOST_PROMPT_CHARACTERS)]
Role = Literal["player", "viewer", "agent"]
SeatName = Literal["player", "viewer", "agent", "queued"]
Encoding = Literal["h264", "jpeg", "raw"]


class CellFields(TypedDict):
    """A frame that a block saw, or that a flush dropped; `infrope_env.player.inspection.Cell` describes its fields."""

    frame: int
    kind: Kind
    coordinate: int | None
    mass: float | None
    jump: bool


class StripFields(TypedDict):
    """The frames that a block saw, and which of them have a picture.

    Attributes:
        cells: The frames from left to right.
        thumbnails: Ids of the frames that the picture shows side by side, a JPEG file at the end of the body.
    """

    cells: list[CellFields]
    thumbnails: list[int]


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message; its fields are those of a subclass. A field without a default is required.

    Attributes:
        type: Name of the message.
        has_body: Whether a body may follow the header.
    """

    type: ClassVar[str]
    has_body: ClassVar[bool] = False
