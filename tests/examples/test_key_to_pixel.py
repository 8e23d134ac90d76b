"""The measurement of key to pixel: fair turns, and a rehearsal with a real window and a real browser."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from examples.key_to_pixel import command
from examples.key_to_pixel.command import Times, measure


class LoggedArm:
    """An arm that answers every press but the third after 300 ms, and writes down what happens."""

    def __init__(self, name: str, log: list[tuple[str, object]]) -> None:
        self._name, self._log, self._presses = name, log, 0

    def pause(self, paused: bool) -> None:
        self._log.append((self._name, "pauses" if paused else "goes on"))

    def press(self, key: str) -> float | None:
        self._presses += 1
        self._log.append((self._name, key))
        return None if self._presses == 3 else 300.0


def test_the_arms_take_turns_with_the_same_keys_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, object]] = []
    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=lambda seconds: log.append(("", seconds))))
    times = measure({name: LoggedArm(name, log) for name in "AB"}, presses=5, turn=2, seed=4)
    turns = [name for name, what in log if what == "pauses"]
    assert turns == ["A", "B", "B", "A", "A", "B"]
    presses = {name: [what for who, what in log if who == name and what not in ("pauses", "goes on")] for name in "AB"}
    assert presses["A"] == presses["B"] and len(presses["A"]) == 5
    moments = [[what for _, what in log[first:last]] for first, last in ((2, 6), (9, 13))]
    assert moments[0] == moments[1]
    assert [(len(each.latencies_ms), each.lost) for each in times.values()] == [(4, 1), (4, 1)]


def test_percentiles_are_those_of_the_answered_presses() -> None:
    times = Times()
    assert times.percentile(50) != times.percentile(50)
    for latency_ms in (100.0, None, 300.0, 200.0):
        times.add(latency_ms)
    assert times.percentile(50) == 200 and times.lost == 1


@pytest.mark.slow
def test_a_rehearsal_measures_a_real_window_and_a_real_browser(
    tiny_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command.main(weights=str(tiny_weights), presses=2, turn=2)
    out = capfd.readouterr().out
    found = json.loads(out.splitlines()[-1])
    for arm in ("local window", "browser"):
        assert found[arm]["lost"] == 0 and len(found[arm]["latencies_ms"]) == 2
        assert all(0 < latency_ms < 60_000 for latency_ms in found[arm]["latencies_ms"])
        assert re.search(rf"\| {arm} \| \d+ \| \d+ \| 2 \| 0 \|", out)
    assert "browser above window" in out and set(found["above_ms"]) == {"p50", "p90"}


def test_no_presses_are_refused() -> None:
    with pytest.raises(ValueError, match="--presses and --turn to be at least 1"):
        command.main(presses=0)
