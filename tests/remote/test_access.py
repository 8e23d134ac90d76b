"""Who may play, who may watch, and who may not even ask."""

import pytest
from starlette.datastructures import Headers

from infrope_env.remote.access import NO_TOKEN, WRONG_TOKEN, Access, is_loopback, new_token
from infrope_env.remote.limits import LimitError, RateLimit

HOST = {"host": "localhost:8765"}


def headers(**more: str) -> Headers:
    return Headers(HOST | more)


def test_the_token_plays_the_viewers_token_watches_and_nothing_else_is_let_in() -> None:
    access = Access("secret-token")
    assert access.grant(headers(), "secret-token").may_play
    assert access.grant(headers(authorization="Bearer secret-token"), "").may_play
    viewer = access.grant(headers(), access.viewer_token)
    assert not viewer.refusal and not viewer.may_play
    assert access.grant(headers(), "").refusal == NO_TOKEN
    for guess in ("secret-toke", "SECRET-TOKEN", "ü" * 12, "\udc80"):
        assert access.grant(headers(), guess).refusal == WRONG_TOKEN
    assert access.grant(headers(authorization="Basic secret-token"), "").refusal == NO_TOKEN


def test_the_viewers_token_says_nothing_about_the_players() -> None:
    access = Access("secret-token")
    assert "secret" not in access.viewer_token and access.viewer_token != Access("other-token").viewer_token
    assert Access("secret-token").viewer_token == access.viewer_token  # links outlive a restart with --token


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://localhost:8765", "localhost:8765", True),
        ("http://localhost:9999", "localhost:9999", True),  # a forwarded port
        ("https://play.example.org", "play.example.org", True),  # a proxy with TLS
        ("https://friend.example", "localhost:8765", True),
        ("http://localhost:1", "localhost:8765", False),
        ("http://localhost:8765.evil.example", "localhost:8765", False),
        ("null", "localhost:8765", False),
        ("", "", False),
    ],
)
def test_only_pages_of_the_server_and_allowed_ones_connect(origin: str, host: str, is_allowed: bool) -> None:
    access = Access("secret-token", ["https://friend.example"])
    grant = access.grant(Headers({"origin": origin, "host": host}), "secret-token")
    assert grant.may_play == is_allowed and bool(grant.refusal) == (not is_allowed)


def test_without_a_token_only_names_of_this_machine_are_served() -> None:
    access = Access("")
    for host in ("localhost:8765", "127.0.0.1:1", "[::1]:8765"):
        assert access.grant(Headers({"host": host}), "").may_play
    for host in ("evil.example:8765", "", "localhost.evil.example"):  # a name that an attacker's DNS leads here
        assert access.grant(Headers({"host": host}), "").refusal


def test_new_tokens_are_long_and_new() -> None:
    assert len(new_token()) >= 32 and new_token() != new_token()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_rate_allows_bursts_and_refuses_floods() -> None:
    rate = RateLimit(per_s=10, at_once=20, what="messages")
    for _ in range(20):
        rate.take(1, now=5.0)
    with pytest.raises(LimitError, match="at most 10 messages a second"):
        rate.take(1, now=5.05)
    for i in range(100):
        rate.take(1, now=7.0 + i / 10)
