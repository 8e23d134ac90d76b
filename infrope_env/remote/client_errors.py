"""Why a client cannot reach a server, or was refused, as sentences for the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from infrope_env.remote.address import ServerAddress
from infrope_env.remote.protocol import ProtocolError

NO_WELCOME = "The server closed the connection before it answered."


class RemoteError(ConnectionError):
    """The server cannot be reached or has refused the connection; the message says why in a sentence.

    Attributes:
        retry: Whether another attempt can succeed.
    """

    def __init__(self, sentence: str, retry: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry


class CommandError(RuntimeError):
    """The server refused a command; the message says why in a sentence.

    Attributes:
        kind: Name of the server's error, such as "ValueError".
    """

    def __init__(self, sentence: str, kind: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@contextlib.contextmanager
def as_remote_error(address: ServerAddress) -> Iterator[None]:
    """Raise every error of the network as a RemoteError with a sentence for the user."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

    try:
        yield
    except RemoteError:
        raise
    except InvalidStatus as error:
        sentence = error.response.body.decode(errors="replace").strip() if error.response.body else str(error)
        raise RemoteError(sentence, retry=error.response.status_code >= 500) from error
    except ConnectionClosed as error:
        raise RemoteError(f"{NO_WELCOME} ({reason_of(error)})", retry=True) from error
    except TimeoutError as error:
        raise RemoteError(f"The server at {address.name} does not answer.", retry=True) from error
    except InvalidHandshake as error:
        raise RemoteError(f"There is no infrope server at {address.name}: {error}.", retry=True) from error
    except ProtocolError as error:
        raise RemoteError(f"The server at {address.name} speaks another protocol: {error}.") from error
    except OSError as error:
        reason = error.strerror or error
        raise RemoteError(f"There is no server at {address.name} ({reason}). Is it running?", retry=True) from error


def reason_of(error: Any) -> str:
    """Return why a connection was closed, as the other side said it."""
    received = getattr(error, "rcvd", None)
    return received.reason if received is not None and received.reason else "no reason given"
