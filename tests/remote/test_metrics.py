"""What a server measures, as Prometheus reads it."""

import math
import re

from infrope_env.remote.metrics import COUNTERS, HISTORY, SUMMARIES, Metrics

LINE = re.compile(r'infrope_[a-z_]+(\{[a-z]+="[^"]+"\})? (-?[\d.e+-]+|nan)$')


def test_every_line_is_in_the_text_format_and_every_quantity_has_help() -> None:
    metrics = Metrics()
    metrics.observe("key_to_pixel_seconds", 0.3)
    metrics.refuse("limit")
    lines = metrics.text({"player": 1, "viewer": 2}).splitlines()
    assert all(line.startswith(("# HELP ", "# TYPE ")) or LINE.match(line) for line in lines), lines
    for name in [*(f"{each}_total" for each in COUNTERS), *SUMMARIES, "realtime_factor", "sessions"]:
        assert any(line.startswith(f"# HELP infrope_{name} ") for line in lines)
    assert 'infrope_sessions{seat="viewer"} 2' in lines and 'infrope_refused_total{reason="limit"} 1' in lines


def test_summaries_have_quantiles_of_the_newest_values_and_sums_of_all() -> None:
    metrics = Metrics()
    assert math.isnan(metrics.quantile("block_seconds", 0.5))
    for value in range(2 * HISTORY):
        metrics.observe("block_seconds", float(value))
    assert metrics.quantile("block_seconds", 0.5) == 1.5 * HISTORY - 0.5
    text = metrics.text({})
    assert f"infrope_block_seconds_count {2 * HISTORY}" in text


def test_the_real_time_factor_is_video_over_work() -> None:
    metrics = Metrics()
    assert metrics.realtime_factor == 0
    metrics.add_work(0.75, 0.15)
    metrics.add_work(0.75, 0.35)
    assert metrics.realtime_factor == 3.0
