"""The result of a check: one line with a status, and the remedy. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SUBJECT_WIDTH = 14


class Status(StrEnum):
    """How a finding bears on play."""

    OK = "ok"
    NOTE = "note"
    """Play is possible, and this is to be known."""
    PROBLEM = "problem"
    """Play is impossible."""


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        status: How it bears on play.
        subject: What was looked at, a word or two.
        text: What was found.
        remedy: What to do, empty if there is nothing.
    """

    status: Status
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return the line."""
        advice = f": {self.remedy}" if self.remedy else ""
        return f"{self.status:8}{self.subject:{SUBJECT_WIDTH}}{self.text}{advice}"


def ok(subject: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(Status.OK, subject, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding that play is possible with."""
    return Finding(Status.NOTE, subject, text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Return a finding that makes play impossible, with its remedy."""
    return Finding(Status.PROBLEM, subject, text, remedy)
