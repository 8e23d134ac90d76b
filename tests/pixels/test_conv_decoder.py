"""The convolutional decoder of the pocket world: causal, the same block by block, and new ones invert the encoder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infrope_env.errors import WeightsError
from infrope_env.models.card import Card
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import BUNDLED, load_card, load_world, save_world
from infrope_env.pixels.conv_decoder import ConvDecoder, ConvDecoderConfig
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchEncoder

CONFIG = ConvDecoderConfig(latent_channels=12, side=4, latent_size=(3, 5), width=16, hidden_width=24, num_layers=2)


@pytest.fixture
def decoder() -> ConvDecoder:
    """Return a decoder whose corrections are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = ConvDecoder(CONFIG)
        for parameter in decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return decoder.eval().requires_grad_(False)


def latents(frames: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, frames, 12, 3, 5, generator=torch.Generator().manual_seed(seed))


def test_a_new_decoder_is_the_pseudo_inverse_of_its_encoder() -> None:
    encoder = PatchEncoder(PatchCodecConfig(CONFIG.patch_pixels, 4))  # as many components as values: nothing is lost
    torch.nn.init.orthogonal_(encoder.components.weight)
    decoder = ConvDecoder(replace(CONFIG, latent_channels=CONFIG.patch_pixels))
    decoder.invert(encoder)
    video = torch.rand(1, 8, 3, 12, 20)
    with torch.no_grad():
        encoded = encoder.encode_whole(video)
        decoded = decoder(encoded, torch.zeros_like(encoded))
    assert torch.allclose(decoded, video.movedim(2, -1), atol=1e-4)


def test_decoding_block_by_block_equals_decoding_the_whole(decoder: ConvDecoder) -> None:
    whole, _ = decoder.decode(latents(6), None)
    pieces, state = [], None
    for part in latents(6).split((1, 3, 2), dim=1):
        frames, state = decoder.decode(part, state)
        pieces.append(frames)
    assert whole.shape == (1, 21, 12, 20, 3) and whole.dtype == torch.uint8
    assert torch.equal(torch.cat(pieces, 1), whole)


def test_a_frame_depends_on_its_latent_frame_and_the_one_before_alone(decoder: ConvDecoder) -> None:
    before, _ = decoder.decode(latents(6), (torch.zeros(1, 12, 3, 5),))
    changed = latents(6)
    changed[:, 2] += 1
    after, _ = decoder.decode(changed, (torch.zeros(1, 12, 3, 5),))
    differs = (before != after).flatten(2).any(2)[0].unflatten(0, (6, 4)).any(1)
    assert differs.tolist() == [False, False, True, True, False, False]


def test_decoding_does_not_change_the_given_state(decoder: ConvDecoder) -> None:
    _, state = decoder.decode(latents(3), None)
    first, _ = decoder.decode(latents(3, 2), state)
    again, _ = decoder.decode(latents(3, 2), state)
    assert torch.equal(first, again)


def test_a_world_folder_keeps_it(tmp_path: Path) -> None:
    world = load_world(BUNDLED / "pocket", LoadOptions(device="cpu", dtype="float32"))
    decoder = ConvDecoder(ConvDecoderConfig(num_layers=1, width=32, hidden_width=32))
    fields = {"name": "small", "window": world.window, "sampler": world.sampler}
    save_world(tmp_path, world.transformer, world.text_encoder, decoder, fields, world.encoder)  # type: ignore[arg-type]
    loaded = load_world(tmp_path, LoadOptions(device="cpu", dtype="float32"))
    assert isinstance(loaded.decoder, ConvDecoder) and loaded.decoder.config == decoder.config
    assert loaded.encoder is not None and loaded.encoder.config == decoder.config
    here = torch.randn(1, 3, 144, 12, 20)
    assert torch.equal(loaded.decoder.decode(here, None)[0], decoder.decode(here, None)[0])


def test_a_decoder_of_another_latent_size_is_refused(tmp_path: Path) -> None:
    card = json.loads((BUNDLED / "pocket" / "card.json").read_text())
    card["decoder"] = {"latent_channels": 144, "hidden_width": 64, "latent_size": [6, 10]}
    with pytest.raises(WeightsError, match=r"latent_size to be the model's \(12, 20\), got \(6, 10\)"):
        Card.parse(json.dumps(card), tmp_path / "card.json")
    assert load_card(BUNDLED / "pocket").model.latent_size == (12, 20)
