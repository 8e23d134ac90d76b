"""A folder with all of Wan in the released layouts, at a size of megabytes: real code, random weights.

The fast decoder has its full size; everything else is as small as its layout allows.
"""

import json
from pathlib import Path

import torch

from infrope_env.pixels.taehv import TAEHV
from tests.models.wan.released_files import SMALL, sharded, small_weights, write
from tests.text.tiny_umt5 import write_diffusers_folder, write_original_folder

FRAME_SIZE = (32, 48)
TEXT_SIZES = {"d_model": SMALL.text_dim, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 1}

ACTIONS = """
name = "small"
template = "{subject} {motion} in {scene}"
[subjects]
fox = "a red fox"
[scenes.snow]
text = "deep snow"
key = "1"
[scenes.forest]
text = "the forest"
key = "2"
[motions.stand]
text = "stands"
[motions.walk]
text = "walks through"
keys = ["right"]
"""
"""An action set with four prompts."""


def write_wan_folder(folder: Path, original: bool = False) -> Path:
    """Write generator, text encoder, tokenizer, full VAE and taew2_1 as diffusers or Wan's own code lays them out."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        write_diffusers_folder(folder, TEXT_SIZES)
        if original:
            twin, folder = folder, folder.with_name(f"{folder.name}-original")
            write_original_folder(folder, twin)
        _write_vae(folder, original)
        _write_taehv(folder)
    write(folder / "ema_model.pt", {"generator_ema": sharded(small_weights(1)), "step": 800})
    (folder / "infrope.json").write_text(json.dumps({"frame_size": FRAME_SIZE}))
    return folder


def _write_vae(folder: Path, original: bool) -> None:
    from diffusers import AutoencoderKLWan

    from tests.pixels.test_wan_vae import original_name

    vae = AutoencoderKLWan(base_dim=4)
    if original:
        torch.save(
            {original_name(name): tensor for name, tensor in vae.state_dict().items()}, folder / "Wan2.1_VAE.pth"
        )
    else:
        vae.save_pretrained(folder / "vae")


def _write_taehv(folder: Path) -> None:
    network = TAEHV()
    with torch.no_grad():
        network.decoder[-1].weight.mul_(16)  # else the picture is nearly grey
        network.decoder[-1].bias.fill_(0.5)
    torch.save({name: tensor.half() for name, tensor in network.state_dict().items()}, folder / "taew2_1.pth")
