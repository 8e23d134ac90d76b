"""The address of a server, from the URL that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from infrope_env.errors import shown

SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
EXAMPLE = "http://127.0.0.1:8765/?token=..."


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is, and what it is told.

    Attributes:
        socket_url: URL of its WebSocket, without the token.
        name: Host and port, for messages.
        token: Token; empty for a server that asks for none.
        rollout: Id of the rollout to watch; empty means the first one.
    """

    socket_url: str
    name: str
    token: str
    rollout: str

    @classmethod
    def parse(cls, url: str, token: str | None = None) -> ServerAddress:
        """Read a URL as the server prints it, or "HOST:PORT".

        Args:
            url: The URL; a path before the page's is kept, as behind a proxy.
            token: Token that replaces the one of the URL.

        Raises:
            ValueError: It is no such URL.
        """
        expected = f"expected the URL of a server, such as {EXAMPLE}, got {shown(url)}"
        if not isinstance(url, str) or not url.strip():
            raise ValueError(expected)
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            parts.port  # noqa: B018  # raises for a port that is no number
        except ValueError as error:
            raise ValueError(expected) from error
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError(expected)
        query = parse_qs(parts.query)
        path = parts.path.removesuffix("/ws").rstrip("/") + "/ws"
        return cls(
            socket_url=urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, "", "")),
            name=parts.netloc,
            token=query.get("token", [""])[0] if token is None else token,
            rollout=query.get("watch", [""])[0],
        )

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that show the token."""
        return {"Authorization": f"Bearer {quote(self.token, safe='-._~')}"} if self.token else {}
