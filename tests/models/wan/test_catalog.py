"""The table of released generators."""

import subprocess
import sys

import pytest

from infrope_env.dynamics.schedule import Schedule
from infrope_env.models.wan.catalog import CHECKPOINTS, find_checkpoint


@pytest.fixture(autouse=True)
def no_pins() -> None:
    """Keep the lengths and revisions of the released files."""


def test_names_of_rows_and_their_files_are_distinct() -> None:
    names, files = {row.name for row in CHECKPOINTS}, {(row.repo, row.files) for row in CHECKPOINTS}
    assert len(names) == len(files) == len(CHECKPOINTS)


def test_every_row_says_its_licence_and_all_but_the_plain_ones_how_its_authors_play_it() -> None:
    assert all(row.licence and not row.licence.startswith("unknown") and row.remark for row in CHECKPOINTS)
    both = {row.name for row in CHECKPOINTS if row.licence.count("(") == 2}
    assert {"self-forcing-dmd", "rolling-forcing", "longlive", "krea-realtime-14b"} <= both


@pytest.mark.parametrize(
    ("name", "size", "sink", "block", "timesteps", "first"),
    [
        ("infinite-forcing", 6, 1, 3, (1000, 937.5, 833.3333, 625), None),
        ("self-forcing-10s", 6, 1, 3, (1000, 937.5, 833.3333, 625), None),
        ("causvid", 6, 1, 3, (1000, 757, 522), None),
        ("causal-forcing-framewise", 21, 1, 1, (1000, 937.5, 833.3333, 625), None),
        ("causal-forcing-pp-2step", 21, 1, 1, (1000, 833.3333), (1000, 937.5, 833.3333, 625)),
        ("causal-forcing-pp-1step", 21, 1, 1, (1000,), (1000, 937.5, 833.3333, 625)),
        ("longlive", 12, 3, 3, (1000, 937.5, 833.3333, 625), None),
        ("memflow", 12, 3, 3, (1000, 937.5, 833.3333, 625), None),
        ("reward-forcing", 9, 3, 3, (1000, 937.5, 833.3333, 625), None),
        ("krea-realtime-14b", 6, 1, 3, (1000, 937.5, 833.3333, 625, 0), None),
    ],
)
def test_a_row_plays_its_authors_window_and_timesteps(name, size, sink, block, timesteps, first) -> None:
    row = find_checkpoint(name)
    assert (row.window.size, row.window.sink, row.window.block) == (size, sink, block)
    assert Schedule.of(row.sampler).timesteps == pytest.approx(timesteps, rel=1e-6)
    expected = timesteps if first is None else first
    assert Schedule.of(row.sampler, first_block=True).timesteps == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "gigabytes", "is_known"),
    [
        ("self-forcing-dmd", 5.676252553, True),
        ("longlive", 5.676334208 + 2.800056690, True),
        ("rolling-forcing", 17.0, False),  # three copies in float32
        ("memflow", 8.48, False),
        ("krea-realtime-14b", 28.58, False),
    ],
)
def test_sizes_on_disk_are_those_of_the_files_or_marked_as_computed(name, gigabytes, is_known) -> None:
    row = find_checkpoint(name)
    assert row.disk_bytes / 1e9 == pytest.approx(gigabytes, rel=2e-3) and row.is_length_known == is_known
    assert row.disk_bytes == round(gigabytes * 1e9) or not is_known


def test_the_table_and_the_errors_import_no_torch() -> None:
    code = "import sys, infrope_env.models.wan.catalog, infrope_env.errors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_load_generator_is_one_short_import() -> None:
    code = "from infrope_env.models import load_generator; print(load_generator.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "infrope_env.models.wan.generator"
