"""Progress lines with an estimate."""

import logging

import pytest

from infrope_env.text.progress import EncodingProgress, describe, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (9.96, "10 s"), (65, "1 min 5 s"), (3599.6, "1 h 0 min"), (26940, "7 h 29 min")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_the_time_of_a_prompt_and_what_is_left_as_soon_as_they_are_known() -> None:
    assert describe("encoding", 0, 693, None) == "encoding: 0 of 693"
    assert describe("encoding", 3.5, 693, 39.0) == "encoding: 3 of 693, 39 s each, about 7 h 28 min left"
    assert describe("encoding", 693, 693, 39.0) == "encoding: 693 of 693, 39 s each"


def test_the_first_and_the_last_report_are_logged_and_one_every_few_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    progress = EncodingProgress("encoding", every_s=5, clock=lambda: now)
    for second, done in ((0, 0), (2, 0.5), (5, 1), (7, 1.4), (10, 2)):
        now = second
        progress.report(done, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "encoding: 0 of 2",
        "encoding: 1 of 2, 5.0 s each, about 5.0 s left",
        "encoding: 2 of 2, 5.0 s each",
    ]


def test_an_estimate_of_before_serves_until_there_is_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    EncodingProgress("encoding", seconds_each=40).report(0, 1)
    assert caplog.messages == ["encoding: 0 of 1, 40 s each, about 40 s left"]
