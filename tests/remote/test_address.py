"""The address of a server, from whatever a user pastes."""

import pytest

from infrope_env.remote.address import ServerAddress


@pytest.mark.parametrize(
    ("url", "socket_url", "token", "rollout"),
    [
        ("http://127.0.0.1:8765/?token=abc", "ws://127.0.0.1:8765/ws", "abc", ""),
        ("https://play.example.org/?token=abc&watch=2", "wss://play.example.org/ws", "abc", "2"),
        ("https://example.org/play/?token=a%2Bb", "wss://example.org/play/ws", "a+b", ""),
        ("ws://[::1]:8765/ws", "ws://[::1]:8765/ws", "", ""),
        ("localhost:8765", "ws://localhost:8765/ws", "", ""),
    ],
)
def test_urls_are_read_as_servers_print_them(url: str, socket_url: str, token: str, rollout: str) -> None:
    address = ServerAddress.parse(url)
    assert (address.socket_url, address.token, address.rollout) == (socket_url, token, rollout)
    assert ServerAddress.parse(url, "other").headers == {"Authorization": "Bearer other"}


@pytest.mark.parametrize("url", ["", "  ", "ftp://x", "http://", "http://x:port/", "http://[::1/"])
def test_other_texts_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected the URL of a server, such as http://127\.0\.0\.1:8765/"):
        ServerAddress.parse(url)
