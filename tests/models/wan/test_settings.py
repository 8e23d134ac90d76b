"""infrope.json in a folder of parts."""

from pathlib import Path

import pytest

from infrope_env.config import Sampler, Window
from infrope_env.errors import WeightsError
from infrope_env.models.wan.settings import Settings


def test_a_folder_sets_frame_size_window_and_sampler(tmp_path: Path) -> None:
    (tmp_path / "infrope.json").write_text(
        '{"frame_size": [320, 576], "window": {"size": 9}, "sampler": {"steps": [1000, 500], "shift": 3.0}}'
    )
    settings = Settings.read(tmp_path / "infrope.json")
    assert settings == Settings((40, 72), Window.from_size(9), Sampler((1000, 500), 3.0))
    assert Settings() == Settings((60, 104), None, None)


def test_a_folder_sets_every_form_of_steps(tmp_path: Path) -> None:
    (tmp_path / "infrope.json").write_text(
        '{"sampler": {"steps": [1000, 0], "first_steps": [1000, 500, 0], "warped": false, "shift": 8}}'
    )
    settings = Settings.read(tmp_path / "infrope.json")
    assert settings.sampler == Sampler((1000, 0), 8, (1000, 500, 0), warped=False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"frame_size": [480, 830]}', "multiples of 16, got"),
        ('{"frame_size": 480}', "height and width"),
        ('{"fps": 16}', "expected a table of frame_size, window, sampler"),
        ('{"window": {"size": 2}}', "expected a window of at least 5 frames"),
        ('{"sampler": {"steps": [500, 1000]}}', "expected steps to fall from at most 1000"),
        ('{"sampler": {"first_step": [1000]}}', "unknown sampler setting 'first_step'"),
        ("{", "infrope.json: Expecting"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "infrope.json").write_text(text)
    with pytest.raises(WeightsError, match=sentence):
        Settings.read(tmp_path / "infrope.json")
