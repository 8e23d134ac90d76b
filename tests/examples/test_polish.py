"""The decoder learns from what a generator makes; the encoder, whose latents the generator learnt, stays."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.generator import PocketGenerator
from examples.pocket_world.polish import Options, main, play_beside
from examples.pocket_world.streams import targets
from examples.pocket_world.train_codec import Options as CodecOptions
from examples.pocket_world.train_codec import load_codec
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


def test_the_generator_plays_beside_the_world(runs: Path) -> None:
    codec, model = load_codec(runs / "codec"), PocketGenerator().eval()
    world = list(islice(targets(codec.encoder, np.random.default_rng(4)), 2))
    played = list(play_beside(model, codec, seed=4, blocks=2, true_share=0))
    assert torch.equal(played[0].video, world[0].video) and torch.equal(played[0].true, world[0].latents)
    assert played[1].made.shape == played[1].true.shape and not torch.equal(played[1].made, played[1].true)


def test_the_decoder_is_solved_for_anew_and_the_encoder_stays(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(Options(runs / "student", runs / "codec", runs / "polished", blocks=3, shown=1))
    said = [line for line in capsys.readouterr().out.splitlines() if "dB" in line]
    assert said[0].startswith("before: ") and said[1].startswith("after: ")
    old, new = load_codec(runs / "codec"), load_codec(runs / "polished")
    assert all(torch.equal(a, b) for a, b in zip(old.encoder.parameters(), new.encoder.parameters(), strict=True))
    assert not torch.equal(old.decoder.pixels.weight, new.decoder.pixels.weight)
