"""The decoder learns from what a generator makes; what nothing could foretell is not held against the generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.generator import PocketGenerator
from examples.pocket_world.play import play_clip
from examples.pocket_world.polish import Options, Remaker, main
from examples.pocket_world.train_codec import Options as CodecOptions
from examples.pocket_world.train_codec import as_video, load_codec
from examples.pocket_world.train_codec import main as train_codec


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained generator, and a codec solved for on two clips."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    (folder / "student").mkdir()
    torch.save({"average": PocketGenerator().state_dict()}, folder / "student" / "checkpoint.pt")
    train_codec(CodecOptions(folder=folder / "codec", clips=2))
    return folder


def test_only_what_could_be_foretold_is_made_again(runs: Path) -> None:
    codec = load_codec(runs / "codec")
    remaker = Remaker.of(runs / "student", codec)
    for far_chance in (0, 1):
        clip = play_clip(np.random.default_rng(0), num_blocks=3, far_chance=far_chance)
        latents, video = codec.pair(torch.from_numpy(clip.frames))
        assert torch.equal(video, as_video(torch.from_numpy(clip.frames)))
        made = remaker.make_again(clip, latents, seed=0)
        same = [torch.equal(a, b) for a, b in zip(made.split(3, dim=1), latents.split(3, dim=1), strict=True)]
        assert same == [False, far_chance == 1, False]
        assert torch.equal(made, remaker.make_again(clip, latents, seed=0))


def test_the_way_back_from_made_latents_gets_better_and_the_encoder_stays(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(Options(runs / "student", runs / "codec", runs / "polished", clips=2, shown=2))
    before, after = (line.split() for line in capsys.readouterr().out.splitlines() if "dB" in line)
    assert float(after[6]) > float(before[6]) + 1
    old, new = load_codec(runs / "codec"), load_codec(runs / "polished")
    assert all(torch.equal(a, b) for a, b in zip(old.encoder.parameters(), new.encoder.parameters(), strict=True))
