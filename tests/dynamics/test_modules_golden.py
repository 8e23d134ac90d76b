"""Parts of the engine, one by one, against the official code: modules.json and modules.safetensors.

These goldens are too large for this repository; INFROPE_GOLDENS names the folder that holds them.
"""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH, ModelConfig, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import CacheShape, ContextBuffers, KeyValueCache
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rope import RotaryTable, rotate
from infrope_env.dynamics.schedule import Schedule, add_noise, shift_timesteps, velocity_to_clean
from infrope_env.dynamics.transformer import CausalWanTransformer, RMSNorm, modulated_norm, sinusoid

FOLDER = Path(os.environ.get("INFROPE_GOLDENS") or Path(__file__).parents[1] / "goldens") / "rollouts"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "modules.safetensors").exists(), reason="INFROPE_GOLDENS names no folder with rollouts/modules.*"
)
FACTS = json.loads((FOLDER / "modules.json").read_text()) if (FOLDER / "modules.json").exists() else {}
ROPE = sorted(FACTS.get("rope", {}))
SHIFTS = [(shift, steps) for shift, lists in FACTS.get("scheduler", {}).items() for steps in lists]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(FOLDER / "modules.safetensors")


@pytest.fixture(scope="module")
def model() -> CausalWanTransformer:
    facts = FACTS["model"]
    names = ("dim", "ffn_dim", "num_heads", "num_layers", "text_dim", "text_len", "freq_dim")
    config = ModelConfig(**{name: facts[name] for name in names}, latent_size=(8, 12))
    network = CausalWanTransformer(config).requires_grad_(False)
    weights = load_file(FOLDER / FACTS["weights"])
    network.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    return network


@pytest.mark.parametrize("head_dim", [24, 32, 40, 128])
def test_angles_of_every_head_size(golden, head_dim):
    facts = FACTS["freqs"][f"d{head_dim}"]
    time, row, _ = facts["split_complex"]
    table = RotaryTable(head_dim, rows=50, cols=50)
    for position, coordinate in enumerate(facts["rows"]):
        patch = min(coordinate, 49)
        ours = table.at((coordinate,)).cos[patch * 50 + patch]
        theirs = golden[f"freqs.d{head_dim}.cos"][position].float()
        spatial = time + 2 * row if coordinate == patch else time  # rows and columns go no further than the grid
        assert torch.allclose(ours[:spatial], theirs[:spatial], atol=1e-6)


@pytest.mark.parametrize("case", ROPE)
def test_rotation_in_every_regime(golden, case):
    facts, x = FACTS["rope"][case], golden[f"rope.{case}.x"]
    tokens = x.shape[1] - facts["tail_tokens"]
    rotation = RotaryTable(facts["head_dim"], facts["h"], facts["w"]).at(facts["temporal_index"])
    ours = rotate(x[:, :tokens].transpose(1, 2), rotation).transpose(1, 2)
    theirs = golden[f"rope.{case}.y"][:, :tokens]
    tolerance = 2e-2 if x.dtype is torch.bfloat16 else 2e-6
    assert torch.allclose(ours.float(), theirs.float(), atol=tolerance)
    if x.dtype is torch.bfloat16:
        assert (ours == theirs).float().mean() > 0.99


@pytest.mark.parametrize(("shift", "steps"), SHIFTS)
def test_shifted_timesteps(golden, shift, steps):
    bend, theirs = float(shift.removeprefix("shift")), FACTS["scheduler"][shift][steps]
    chosen = tuple(step for step in json.loads(steps) if step)
    schedule = Schedule.of(Sampler(chosen, bend))
    assert schedule.timesteps == tuple(theirs[: len(chosen)])
    table = shift_timesteps(torch.linspace(1, 0, 1001)[:-1], bend)
    assert torch.allclose(table, golden[f"sched.{shift}.timesteps"], rtol=1e-6)


def test_velocity_to_clean_and_noise_to_noisier(golden):
    flow, noisy, noise, clean = (golden[f"conv.{name}"] for name in ("flow", "xt", "noise", "clean"))
    for row, sigma in enumerate(FACTS["conv"]["nearest_sigma"]):
        assert torch.allclose(
            velocity_to_clean(noisy[row], flow[row], sigma), golden["conv.x0_from_flow"][row], atol=1e-6
        )
        assert torch.allclose(add_noise(clean[row], noise[row], sigma), golden["conv.add_noise"][row], atol=1e-6)
        half = velocity_to_clean(noisy[row].bfloat16(), flow[row].bfloat16(), sigma)
        assert torch.equal(half, golden["conv.x0_from_flow_bf16"][row])
        half = add_noise(clean[row].bfloat16(), noise[row].bfloat16(), sigma)
        assert torch.allclose(half.float(), golden["conv.add_noise_bf16"][row].float(), atol=2e-2)


def test_time_embedding(golden, model):
    waves = sinusoid(golden["time.t"], FACTS["model"]["freq_dim"])
    modulation = model.modulate(golden["time.t"])
    assert torch.allclose(waves, golden["time.sinusoid256_f64"], atol=1e-9)
    assert torch.allclose(modulation.head[:, 0] - model.head.modulation[:, 0], golden["time.e"], atol=1e-5)
    for layer, given in zip(model.blocks, modulation.layers, strict=True):
        shared = given - layer.modulation - torch.tensor([0.0, 1, 0, 0, 1, 0])[:, None]  # scales have one added
        assert torch.allclose(shared, golden["time.e0"], atol=1e-5)


def test_patches_and_head(golden, model):
    latents = golden["patch.latent_bcfhw"].transpose(1, 2)
    assert torch.allclose(model.patchify(latents), golden["patch.tokens"], atol=1e-5)
    tokens = golden["head.out"].flatten(1, 2)
    assert torch.equal(model.unpatchify(tokens).transpose(1, 2), golden["head.unpatchified_bcfhw"])


def test_text_and_the_attention_to_it(golden, model):
    embedding = load_file(FOLDER / "inputs.safetensors")[f"text.{FACTS['text_context_of']}"][None]
    tokens = model.text_embedding(embedding)
    attention = model.blocks[0].cross_attn
    assert torch.allclose(tokens, golden["text.context"], atol=1e-5)
    assert torch.allclose(
        attention(golden["cross.x"], attention.project_text(tokens)), golden["cross.y_first"], atol=1e-5
    )


@pytest.mark.parametrize("which", ["", "_small"])
def test_norms(golden, model, which):
    x, norm = golden[f"norm.x{which}"], model.blocks[0].self_attn.norm_q
    assert torch.allclose(norm(x), golden[f"norm.rms{which}"], atol=1e-5)
    zero, one = torch.zeros(2, 1, 1, x.shape[-1]) + torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    assert torch.allclose(modulated_norm(x, zero, one), golden[f"norm.layer{which}"], atol=1e-5)
    if not which:
        assert torch.allclose(model.blocks[0].norm3(x), golden["norm.layer_affine"], atol=1e-5)
        rounded = RMSNorm(x.shape[-1]).bfloat16()
        rounded.weight.data = norm.weight.bfloat16()
        assert torch.allclose(rounded(x.bfloat16()).float(), golden["norm.rms_bf16"].float(), atol=2e-2)


@pytest.mark.parametrize("case", ["L6", "L6_cut4", "L21"])
def test_one_layer_of_self_attention_over_twelve_blocks(golden, model, case):
    facts, attention = FACTS["self_attn"][case], model.blocks[0].self_attn
    frames, rows, cols = facts["grid"]
    window = Window.from_size(facts["local_attn_size"], sink=facts["sink_size"], block=frames, flush_context=2)
    table = RotaryTable(32, rows, cols)
    shape = CacheShape(1, 1, 3, window.size, rows * cols, 32)
    cache = KeyValueCache(shape, torch.device("cpu"), torch.float32)
    buffers = ContextBuffers(shape, frames, torch.device("cpu"), torch.float32)
    for block, inputs in enumerate(golden["self_attn.x"]):
        transition = Transition(facts["flush_blocks"].get(str(block), "continue").replace("flush", "switch"))
        layout = lay_out(cache.frame_ids, transition, window)
        (context,) = buffers.gather(cache, layout, table)
        for call, x in enumerate(inputs):
            assert torch.allclose(attention(x, context), golden[f"self_attn.{case}.y"][block, call], atol=2e-5)
        cache.keep(layout.slots)
        cache.store(range(block * frames, (block + 1) * frames), buffers.fresh_keys, buffers.fresh_values)


def test_gelu_is_the_tanh_one(model):
    assert all(module.approximate == "tanh" for module in model.modules() if isinstance(module, torch.nn.GELU))
    assert not torch.equal(F.gelu(torch.ones(1), approximate="tanh"), F.gelu(torch.ones(1)))


def test_the_rotary_table_is_as_long_as_the_releases():
    assert max(FACTS["freqs"]["d128"]["rows"]) == ROTARY_TABLE_LENGTH - 1
