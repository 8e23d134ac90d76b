"""Access to a server: the token of the URL, that of the viewers' link, and the Origin of a browser's page."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

NO_TOKEN = "Expected the token of this server: open the URL that 'infrope serve' printed."
WRONG_TOKEN = "This is not the token of this server: it changes when the server starts again, unless --token names one."
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Grant:
    """The rights of a request.

    Attributes:
        refusal: Why it may do nothing, in a sentence; empty if it may.
        may_play: Whether it may do more than watch.
    """

    refusal: str = ""
    may_play: bool = False


class Access:
    """The rules by which a server lets requests in.

    Attributes:
        token: Token of players; empty lets every local program in.
        viewer_token: Token with which one can only watch; empty without a token.
    """

    def __init__(self, token: str, origins: Collection[str] = ()) -> None:
        """Set the rules.

        Args:
            token: Token of players.
            origins: Origins of pages besides the server's own, such as "https://play.example.org".
        """
        self.token = token
        self.viewer_token = hmac.new(token.encode(), b"viewer", hashlib.sha256).hexdigest()[:32] if token else ""
        self._origins = frozenset(origins)

    def grant(self, headers: Mapping[str, str], given: str) -> Grant:
        """Return what a request may do.

        Args:
            headers: Headers of the request, case-insensitive.
            given: Token of its query; empty where that has none.
        """
        if refusal := self._refuse_origin(headers.get("origin"), headers.get("host", "")):
            return Grant(refusal)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = given or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not self.token:
            name = urlsplit(f"//{headers.get('host', '')}").hostname
            return Grant(may_play=True) if name in LOCAL_NAMES else Grant(f"Expected the host localhost, got {name}.")
        if _equal(given, self.token):
            return Grant(may_play=True)
        if _equal(given, self.viewer_token):
            return Grant()
        return Grant(WRONG_TOKEN if given else NO_TOKEN)

    def _refuse_origin(self, origin: str | None, host: str) -> str:
        """Return why a page of this origin may not connect; programs besides browsers send none."""
        if origin is None or origin in self._origins:
            return ""
        if urlsplit(origin).netloc.lower() == host.lower() and host:
            return ""
        return f"Pages of {origin[:100]!r} may not connect to this server; 'infrope serve --origin' allows them."


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach a server that listens on an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _equal(given: str, token: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())
