"""The base of all messages, and the types of their fields, which both sides check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

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


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message; its fields are those of a subclass. A field without a default is required.

    Attributes:
        type: Name of the message.
        has_body: Whether a body may follow the header.
    """

    type: ClassVar[str]
    has_body: ClassVar[bool] = False
