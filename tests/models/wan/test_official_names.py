"""Names of Comfy's repacks, of diffusers and of FastVideo, against the official ones and against the library itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.noise import seeded_noise
from infrope_env.dynamics.rollout import Rollout
from infrope_env.models.wan.checkpoint_layout import plain_name
from infrope_env.models.wan.generator import load_generator
from infrope_env.models.wan.official_names import official_name
from tests.models.wan.released_files import KEYS, SMALL, prefixed, small_weights, write

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
DIFFUSERS_BLOCK = [
    "scale_shift_table",
    *(f"{part}.{layer}.{leaf}" for part in ("attn1", "attn2") for layer in ATTENTION for leaf in ("weight", "bias")),
    "attn1.norm_q.weight",
    "attn1.norm_k.weight",
    "attn2.norm_q.weight",
    "attn2.norm_k.weight",
    "norm2.weight",
    "norm2.bias",
    "ffn.net.0.proj.weight",
    "ffn.net.0.proj.bias",
    "ffn.net.2.weight",
    "ffn.net.2.bias",
]
DIFFUSERS_ONCE = [
    "scale_shift_table",
    "patch_embedding.weight",
    "patch_embedding.bias",
    "condition_embedder.time_embedder.linear_1.weight",
    "condition_embedder.time_embedder.linear_1.bias",
    "condition_embedder.time_embedder.linear_2.weight",
    "condition_embedder.time_embedder.linear_2.bias",
    "condition_embedder.time_proj.weight",
    "condition_embedder.time_proj.bias",
    "condition_embedder.text_embedder.linear_1.weight",
    "condition_embedder.text_embedder.linear_1.bias",
    "condition_embedder.text_embedder.linear_2.weight",
    "condition_embedder.text_embedder.linear_2.bias",
    "proj_out.weight",
    "proj_out.bias",
]
FASTVIDEO_BLOCK = [
    "scale_shift_table",
    *(f"{layer}.{leaf}" for layer in ("to_q", "to_k", "to_v", "to_out") for leaf in ("weight", "bias")),
    *(f"attn2.{layer}.{leaf}" for layer in ("to_q", "to_k", "to_v", "to_out") for leaf in ("weight", "bias")),
    "norm_q.weight",
    "norm_k.weight",
    "attn2.norm_q.weight",
    "attn2.norm_k.weight",
    "self_attn_residual_norm.norm.weight",
    "self_attn_residual_norm.norm.bias",
    "ffn.fc_in.weight",
    "ffn.fc_in.bias",
    "ffn.fc_out.weight",
    "ffn.fc_out.bias",
]
FASTVIDEO_ONCE = [
    "scale_shift_table",
    "patch_embedding.proj.weight",
    "patch_embedding.proj.bias",
    "condition_embedder.time_embedder.mlp.fc_in.weight",
    "condition_embedder.time_embedder.mlp.fc_in.bias",
    "condition_embedder.time_embedder.mlp.fc_out.weight",
    "condition_embedder.time_embedder.mlp.fc_out.bias",
    "condition_embedder.time_modulation.linear.weight",
    "condition_embedder.time_modulation.linear.bias",
    "condition_embedder.text_embedder.fc_in.weight",
    "condition_embedder.text_embedder.fc_in.bias",
    "condition_embedder.text_embedder.fc_out.weight",
    "condition_embedder.text_embedder.fc_out.bias",
    "proj_out.weight",
    "proj_out.bias",
]
OFFICIAL = [*KEYS["1.3B"]["once"], *(f"blocks.{i}.{n}" for i in range(30) for n in KEYS["1.3B"]["every_block"])]


def in_full(once: list[str], block: list[str], layers: int = 30) -> list[str]:
    """Return the names of a whole generator from those of its globals and of one block."""
    return [*once, *(f"blocks.{index}.{name}" for index in range(layers) for name in block)]


@pytest.mark.parametrize(
    ("once", "block"),
    [(DIFFUSERS_ONCE, DIFFUSERS_BLOCK), (FASTVIDEO_ONCE, FASTVIDEO_BLOCK)],
    ids=["diffusers", "fastvideo"],
)
def test_every_name_of_another_project_is_one_official_name(once: list[str], block: list[str]) -> None:
    names = in_full(once, block)
    assert len(names) == len(OFFICIAL) == 825
    assert sorted(map(official_name, names)) == sorted(OFFICIAL)


def test_official_names_stay_as_they_are() -> None:
    assert [official_name(name) for name in OFFICIAL] == OFFICIAL


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "transformer.", "model.", ""])
def test_prefixes_of_repacks_are_removed(prefix: str) -> None:
    assert [plain_name(prefix + name) for name in OFFICIAL] == OFFICIAL
    names = in_full(DIFFUSERS_ONCE, DIFFUSERS_BLOCK)
    assert sorted(plain_name(prefix + name) for name in names) == sorted(OFFICIAL)


@pytest.fixture(scope="module")
def library() -> torch.nn.Module:
    """A small generator of the diffusers library, whose parameters all change the output."""
    diffusers = pytest.importorskip("diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = diffusers.WanTransformer3DModel(
            num_attention_heads=SMALL.num_heads,
            attention_head_dim=SMALL.head_dim,
            in_channels=16,
            out_channels=16,
            text_dim=SMALL.text_dim,
            freq_dim=SMALL.freq_dim,
            ffn_dim=SMALL.ffn_dim,
            num_layers=SMALL.num_layers,
        )
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.08)
    return network.eval()


def test_the_listed_names_are_those_of_the_library(library: torch.nn.Module) -> None:
    assert sorted(library.state_dict()) == sorted(in_full(DIFFUSERS_ONCE, DIFFUSERS_BLOCK, SMALL.num_layers))


@torch.inference_mode()
def test_a_generator_saved_by_the_library_computes_the_same_here(library: torch.nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path / "diffusion_pytorch_model.safetensors", library.state_dict())
    ours = load_generator(path, dtype=torch.float32, latent_size=SMALL.latent_size).transformer
    text = torch.randn(1, ours.config.text_len, SMALL.text_dim, generator=torch.Generator().manual_seed(1))
    noise = seeded_noise(3, 0, (1, 1, 3, 16, *SMALL.latent_size))
    rollout = Rollout(ours, Window(), Sampler((1000,)), lambda *_: noise)
    clean = rollout.advance(text, Transition.START).latents  # noise - velocity, with the whole block in one attention
    theirs: Tensor = library(noise[0].transpose(1, 2), torch.tensor([1000.0]), text, return_dict=False)[0]
    velocity = (noise[0] - clean).transpose(1, 2)
    assert theirs.std() > 0.1 and torch.allclose(velocity, theirs, rtol=0, atol=2e-4)


def test_a_comfy_repack_is_the_same_generator(tmp_path: Path) -> None:
    plain = load_generator(write(tmp_path / "a.safetensors", prefixed(small_weights())), dtype=torch.float32)
    names = {f"model.diffusion_model.{name}": value for name, value in small_weights().items()}
    repack = load_generator(write(tmp_path / "b.safetensors", names), dtype=torch.float32)
    expected = plain.transformer.state_dict()
    assert all(value.equal(expected[name]) for name, value in repack.transformer.state_dict().items())
