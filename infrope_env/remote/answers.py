"""Answers of a server as the Futures that a play session expects."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from infrope_env.remote.client import Answer


def info_of(answer: Future[Answer]) -> Future[Any]:
    """Return the Future of the info in the result of a command, or of the reason of a refusal."""
    future: Future[Any] = Future()

    def complete(done: Future[Answer]) -> None:
        if (error := done.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result()[0].info)

    answer.add_done_callback(complete)
    return future


def refused(reason: str) -> Future[Any]:
    """Return the Future of a command that is refused."""
    future: Future[Any] = Future()
    future.set_exception(ValueError(reason))
    return future
