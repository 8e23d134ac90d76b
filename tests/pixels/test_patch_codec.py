"""The pocket world's codec: principal components of patches, a least-squares decoder, streaming = whole."""

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.train import codec as train_codec
from examples.pocket_world.train.codec import Codec, Options, as_video, load_codec, sample_patches
from infrope_env.pixels.patch_codec import (
    EDGE_THRESHOLD,
    PatchCodecConfig,
    PatchDecoder,
    PatchEncoder,
    bilateral_filter,
    channel_noise_scale,
)


def moving_stripes(seed: int, frames: int = 24) -> torch.Tensor:
    """Return drifting stripes, t H W 3 uint8; the first frame occurs four times."""
    rng = np.random.default_rng(seed)
    x, t = np.arange(32), np.maximum(np.arange(frames) - 3, 0)
    waves = np.sin((x[None, :] - t[:, None] * rng.integers(1, 3)) / rng.uniform(2, 5) + rng.uniform(0, 6))
    rows = np.linspace(0.4, 1, 24)[None, :, None, None]
    picture = 127 + 100 * waves[:, None, :, None] * rows * rng.uniform(0.3, 1, 3)
    return torch.from_numpy(picture.round().astype(np.uint8))


def fitted(channels: int) -> Codec:
    codec = Codec(PatchCodecConfig(latent_channels=channels))
    clips = [moving_stripes(seed) for seed in range(12)]
    codec.encoder.fit(torch.cat([sample_patches(codec.encoder, as_video(clip)) for clip in clips]))
    codec.decoder.fit(codec.encoder, map(as_video, clips), noise=0.02)
    return codec.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return fitted(10)


def error(codec: Codec, clip: torch.Tensor) -> float:
    """Return the root mean squared error of a decoded clip, of 255."""
    frames, _ = codec.decoder.decode(codec.encoder.encode_whole(as_video(clip)), None)
    return (frames[0].float() - clip[3:].float()).square().mean().sqrt().item()


def test_latents_are_uncorrelated_with_unit_variance(codec: Codec) -> None:
    clips = torch.cat([as_video(moving_stripes(seed)) for seed in range(12)])
    rows = codec.encoder.encode_whole(clips).movedim(2, -1).flatten(0, -2)
    assert torch.allclose(torch.cov(rows.T), torch.eye(10), atol=0.15)
    assert (codec.encoder.variances.diff() > 0).all()


def test_unseen_clips_are_reconstructed_and_better_with_more_channels(codec: Codec) -> None:
    unseen = moving_stripes(99)
    assert error(codec, unseen) < 0.6 * error(fitted(5), unseen)
    assert error(codec, unseen) < 20 < unseen.float().std()


def test_the_neighbourhood_improves_the_reconstruction(codec: Codec) -> None:
    local = fitted(10)
    weight = torch.zeros_like(local.decoder.pixels.weight)
    inverse = torch.linalg.pinv(local.encoder.components.weight[:, :, 0, 0])
    weight[:, :10, 1, 1] = inverse
    local.decoder.pixels.weight.copy_(weight)
    local.decoder.pixels.bias.copy_(-inverse @ local.encoder.components.bias)
    assert error(codec, moving_stripes(99)) < 0.95 * error(local, moving_stripes(99))


def test_decoding_block_by_block_equals_decoding_the_whole(codec: Codec) -> None:
    latents = codec.encoder.encode_whole(as_video(moving_stripes(7)))
    whole, _ = codec.decoder.decode(latents, None)
    pieces, state = [], None
    for part in latents.split((1, 3, 2), dim=1):
        frames, state = codec.decoder.decode(part, state)
        pieces.append(frames)
    assert whole.shape == (1, 21, 24, 32, 3) and whole.dtype == torch.uint8
    assert torch.equal(torch.cat(pieces, 1), whole)


def test_decoding_does_not_change_the_given_state(codec: Codec) -> None:
    latents = codec.encoder.encode_whole(as_video(moving_stripes(7)))
    _, state = codec.decoder.decode(latents[:, :3], None)
    first, _ = codec.decoder.decode(latents[:, 3:], state)
    again, _ = codec.decoder.decode(latents[:, 3:], state)
    assert torch.equal(first, again)


def test_the_first_latent_frame_encodes_one_frame_and_every_other_four(codec: Codec) -> None:
    clip = as_video(moving_stripes(3))
    assert torch.equal(codec.encoder.encode(clip[:, 3:]), codec.encoder.encode_whole(clip))
    with pytest.raises(ValueError, match="1, 5, 9"):
        codec.encoder.encode(clip[:, :4])


def test_errors_of_strong_channels_are_smaller_than_those_of_weak_ones() -> None:
    assert torch.allclose(channel_noise_scale(torch.tensor([1.0, 16.0])), torch.tensor([1.0, 0.5]))


def test_the_bilateral_filter_removes_grain_and_keeps_edges_and_mean_colours() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.full((1, 2, 24, 32, 3), 0.3)
    picture[..., 16:, :] += 2 * EDGE_THRESHOLD
    grain = 0.1 * EDGE_THRESHOLD * torch.randn(picture.shape, generator=generator)
    after = bilateral_filter(picture + grain)
    assert (after - picture).std() < 0.5 * grain.std()
    edge = (after[..., 16, :] - after[..., 15, :]).mean()
    assert edge.item() == pytest.approx(2 * EDGE_THRESHOLD, rel=0.05)
    assert torch.allclose(after.mean((2, 3)), (picture + grain).mean((2, 3)), atol=1e-6)
    assert torch.equal(bilateral_filter(picture), picture)


def test_decoded_frames_are_filtered(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    even = codec.encoder.encode_whole(torch.full((1, 8, 3, 24, 32), 0.5))
    inexact = even + 0.05 * torch.randn(even.shape, generator=torch.Generator().manual_seed(0))
    filtered, _ = codec.decoder.decode(inexact, None)
    monkeypatch.setattr("infrope_env.pixels.patch_codec.bilateral_filter", lambda frames: frames)
    grainy, _ = codec.decoder.decode(inexact, None)
    steps, grainy_steps = (x.float().diff(dim=3).abs().mean() for x in (filtered, grainy))
    assert 0 < steps < 0.9 * grainy_steps


def test_the_bilateral_filter_is_the_same_in_every_direction() -> None:
    frames = torch.rand(1, 1, 9, 7, 3, generator=torch.Generator().manual_seed(1)) / 8
    for transform in (lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.transpose(2, 3)):
        assert torch.allclose(bilateral_filter(transform(frames)), transform(bilateral_filter(frames)), atol=1e-6)


def test_more_components_than_values_in_a_patch_are_refused() -> None:
    with pytest.raises(ValueError, match="768"):
        PatchCodecConfig(latent_channels=769)
    assert PatchEncoder(PatchCodecConfig(4)).components.out_channels == 4
    assert PatchDecoder(PatchCodecConfig(4)).pixels.in_channels == 8


def test_training_keeps_a_given_encoder_and_fits_the_decoder_on_other_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(options: Options) -> list[torch.Tensor]:
        return [moving_stripes(options.seed + index) for index in range(2)]

    monkeypatch.setattr(train_codec, "render_clips", render)
    for name, seed, encoder in (("first", 0, None), ("kept", 7, tmp_path / "first"), ("new", 7, None)):
        train_codec.main(Options(tmp_path / name, encoder=encoder, seed=seed))
    first, kept, new = (load_codec(tmp_path / name).state_dict() for name in ("first", "kept", "new"))
    for name, value in first.items():
        if name.startswith("encoder"):
            assert torch.equal(value, kept[name]), name
    assert not all(torch.equal(first[name], new[name]) for name in first if name.startswith("encoder"))
    assert not all(torch.equal(first[name], kept[name]) for name in first if name.startswith("decoder"))
