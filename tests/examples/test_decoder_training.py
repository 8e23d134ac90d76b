"""The decoder's training: recorded rollouts with their true frames, its stage, and the comparison with the truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from examples.pocket_world.evaluate.truth import TruthErrors, body_mask
from examples.pocket_world.train import decoder as decoder_stage
from examples.pocket_world.train import export as export_stage
from examples.pocket_world.train import rollouts as rollouts_stage
from examples.pocket_world.train.codec import CODEC_FILE, load_codec, load_encoder
from examples.pocket_world.train.decoder import decoder_losses, draw_batch, make_decoder
from examples.pocket_world.train.rollouts import RecordedRollouts
from examples.pocket_world.world.state import advance, render_block, spawn
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import BUNDLED, load_card, load_world
from infrope_env.pixels.conv_decoder import ConvDecoder

CPU = torch.device("cpu")
WORLD = BUNDLED / "pocket"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with recorded rollouts and the bundled codec's encoder as a run."""
    folder = tmp_path_factory.mktemp("runs")
    rollouts_stage.main(rollouts_stage.Options(WORLD, folder / "rollouts", shards=1, steps=3, rows=2, device="cpu"))
    tensors = {f"encoder.{name}": value for name, value in load_file(WORLD / "encoder.safetensors").items()}
    linear = {"decoder.pixels.weight": torch.zeros(768, 288, 3, 3), "decoder.pixels.bias": torch.zeros(768)}
    (folder / "codec").mkdir()
    save_file(tensors | linear, folder / "codec" / CODEC_FILE)
    return folder


def test_recorded_blocks_stand_beside_the_frames_that_they_should_give(runs: Path) -> None:
    shard = load_file(runs / "rollouts" / "rollouts_000.safetensors")
    assert shard["latents"].shape == (3, 2, 3, 144, 12, 20) and shard["latents"].dtype == torch.float16
    assert shard["frames"].shape == (3, 2, 12, 96, 160, 3) and shard["starts"].tolist() == [
        [True] * 2,
        *[[False] * 2] * 2,
    ]
    world = load_world(WORLD, LoadOptions(device="cpu", dtype="float32"))
    for row in range(2):
        state = None
        for step in range(3):
            made, state = world.decoder.decode(shard["latents"][step, row][None].float(), state)
            truth = shard["frames"][step, row][-made.shape[1] :]
            error = (made[0].float() - truth.float()).square().mean().sqrt()
            assert error < 25  # of 255; the frames of another scene differ by more than 50
            assert error < (made[0].float() - shard["frames"][step, 1 - row][-made.shape[1] :].float()).abs().max()


def test_a_shard_that_exists_is_kept(runs: Path) -> None:
    path = runs / "rollouts" / "rollouts_000.safetensors"
    before = path.stat().st_mtime_ns
    rollouts_stage.main(rollouts_stage.Options(WORLD, runs / "rollouts", shards=1, steps=3, rows=2, device="cpu"))
    assert path.stat().st_mtime_ns == before


def test_a_folder_of_other_rollouts_is_refused(runs: Path) -> None:
    with pytest.raises(ValueError, match=r"was begun with .*Choose another folder"):
        rollouts_stage.main(rollouts_stage.Options(WORLD, runs / "rollouts", shards=1, steps=4, rows=2, device="cpu"))


def test_first_blocks_have_zeros_before_them_and_their_copies_do_not_count(runs: Path) -> None:
    recorded, encoder = RecordedRollouts(runs / "rollouts"), load_codec(runs / "codec").encoder
    batch = draw_batch(recorded, encoder, np.random.default_rng(0), 12, CPU)
    is_first = batch.weights[:, 0, 0, 0, 0] == 0
    assert 0 < is_first.sum() < 12
    assert (batch.previous[:, 0].flatten(1).abs().sum(1) == 0).equal(is_first)
    assert batch.weights.flatten(1).sum(1).tolist() == [9.0 if first else 12.0 for first in is_first]
    assert torch.equal(batch.previous[:, 1:], batch.latents[:, :-1])


def test_training_lowers_the_error_resumes_and_is_packed_into_a_world(runs: Path, tmp_path: Path) -> None:
    options = decoder_stage.Options(
        runs / "rollouts", runs / "codec", tmp_path / "decoder", iterations=6, batch=2, lr=3e-3, device="cpu"
    )
    encoder, recorded = load_codec(options.codec).encoder, RecordedRollouts(options.rollouts)

    def loss(decoder: ConvDecoder) -> float:
        batch = draw_batch(recorded, encoder, np.random.default_rng(5), 4, CPU)
        with torch.no_grad():
            return float(sum(decoder_losses(decoder(batch.latents, batch.previous), batch).values()))

    decoder_stage.main(options)
    trained = decoder_stage.load_decoder(options.folder, encoder)
    assert isinstance(trained, ConvDecoder) and loss(trained) < 0.97 * loss(make_decoder(encoder))
    assert torch.load(options.folder / "checkpoint.pt", weights_only=True)["iteration"] == 6

    export_stage.main(
        export_stage.Options(world=WORLD, codec=options.codec, decoder=options.folder, out=tmp_path / "world")
    )
    packed, before = (
        load_world(folder, LoadOptions(device="cpu", dtype="float32")) for folder in (tmp_path / "world", WORLD)
    )
    assert isinstance(packed.decoder, ConvDecoder)
    for name, weight in before.transformer.state_dict().items():
        assert torch.equal(packed.transformer.state_dict()[name], weight), name
    facts = load_card(tmp_path / "world").training
    assert facts["commands"][-1].endswith("train.export") and "decoder" in facts["runs"]  # type: ignore[index, operator]


def test_the_truth_has_no_error_and_noise_has_its_own() -> None:
    state = advance(spawn("fox", "snow", "walk_right"))
    truth, errors = render_block(state), TruthErrors()
    errors.add(truth, state)
    assert errors.psnr("whole") > 100 and errors.chroma_ratio == 1
    noisy, noise = TruthErrors(), np.random.default_rng(0).choice([-8, 8], truth.shape)
    middle = np.clip(truth.astype(int), 8, 247)
    noisy.add((middle + noise).astype(np.uint8), state)
    assert noisy.psnr("body") == pytest.approx(-20 * np.log10(8 / 255), abs=0.5) and noisy.chroma_ratio > 1.5


def test_the_body_and_the_band_around_it_are_apart() -> None:
    state = advance(spawn("robot", "cave", "jump"))
    body = body_mask(state, range(12))
    assert body.shape == (12, 96, 160) and (body.sum((1, 2)) > 300).all()
    changed = render_block(state)
    changed[body] = 255 - changed[body]
    errors = TruthErrors()
    errors.add(changed, state)
    assert errors.psnr("body") < 20 and errors.psnr("band") > 100


def test_training_goes_on_from_the_encoder_and_the_decoder_of_a_world_folder() -> None:
    encoder = load_encoder(WORLD)
    world = load_world(WORLD, LoadOptions(device="cpu", dtype="float32"))
    assert torch.equal(make_decoder(encoder, WORLD).pixels.weight, world.decoder.pixels.weight)
    assert world.encoder is not None
    video = torch.rand(1, 4, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder.encode_whole(video), world.encoder.encode_whole(video))
