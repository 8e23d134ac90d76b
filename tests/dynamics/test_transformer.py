"""The network alone: its parts, and the official parameter names."""

import copy
import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from infrope_env.config import WAN_1_3B, WAN_14B
from infrope_env.dynamics.cache import CacheShape, ContextBuffers, KeyValueCache
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.transformer import CausalWanTransformer, RMSNorm, TanhGELU, modulated_norm, sinusoid
from tests.dynamics.small_engine import SMALL_MODEL, prompt, small_model

GOLDENS = os.environ.get("INFROPE_GOLDENS")
BLOCK_AT_0 = Layout((), (), (0, 1, 2))


@pytest.fixture(scope="module")
def model() -> CausalWanTransformer:
    return small_model()


def _first_block(batch: int = 1) -> tuple[ContextBuffers, list]:
    """Return buffers and contexts of a first block, which sees only itself."""
    c = SMALL_MODEL
    shape = CacheShape(c.num_layers, batch, c.num_heads, 6, c.tokens_per_frame, c.head_dim)
    buffers = ContextBuffers(shape, 3, torch.device("cpu"), torch.float32)
    cache = KeyValueCache(shape, torch.device("cpu"), torch.float32)
    return buffers, buffers.gather(cache, BLOCK_AT_0, RotaryTable(c.head_dim, c.rows, c.cols))


def _latents(seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, 16, 4, 6, generator=torch.Generator().manual_seed(seed))


def test_patchify_equals_the_convolution(model):
    latents = _latents()
    convolved = model.patch_embedding(latents.transpose(1, 2))  # b dim f rows cols
    assert torch.allclose(model.patchify(latents), convolved.flatten(2).transpose(1, 2), atol=1e-5)


def test_output_tokens_are_ordered_patch_row_patch_column_channel(model):
    tokens = torch.zeros(1, 18, 64)
    tokens[0, 6 + 4, 1 * 32 + 0 * 16 + 5] = 1.0  # frame 1, patch (1, 1): its pixel (1, 0), channel 5
    latents = model.unpatchify(tokens)
    assert latents.shape == (1, 3, 16, 4, 6)
    assert latents.nonzero().tolist() == [[0, 1, 5, 3, 2]]


def test_the_commit_pass_writes_the_keys_and_values_of_a_whole_pass(model):
    latents, time, text = _latents(), model.modulate(torch.zeros(1)), model.project_text(prompt(0))
    written = []
    for run in (model.forward, model.update_cache):
        buffers, contexts = _first_block()
        run(latents, time, text, contexts)
        written.append((buffers.fresh_keys, buffers.fresh_values))
    assert torch.equal(written[0][0], written[1][0])
    assert torch.equal(written[0][1], written[1][1])


def test_every_row_of_a_batch_has_its_own_latents_text_and_timestep(model):
    latents, timesteps, text = _latents(batch=2), torch.tensor([1000.0, 625.0]), prompt(0, batch=2)
    both = model(latents, model.modulate(timesteps), model.project_text(text), _first_block(batch=2)[1])
    for row in range(2):
        own = slice(row, row + 1)
        alone = model(latents[own], model.modulate(timesteps[own]), model.project_text(text[own]), _first_block()[1])
        assert torch.allclose(both[own], alone, atol=1e-5)


def test_rows_of_zeros_behind_a_prompt_take_part_in_attention(model):
    padded = prompt(0)
    padded[:, 4:] = 0
    time = model.modulate(torch.tensor([1000.0]))
    with_padding = model(_latents(), time, model.project_text(padded), _first_block()[1])
    without = model(_latents(), time, model.project_text(padded[:, :4]), _first_block()[1])
    assert not torch.allclose(with_padding, without, atol=1e-4)


def test_frames_of_a_block_see_each_other_both_ways(model):
    latents, time, text = _latents(), model.modulate(torch.tensor([1000.0])), model.project_text(prompt(0))
    before = model(latents, time, text, _first_block()[1])
    latents[:, 2] += 1
    after = model(latents, time, text, _first_block()[1])
    assert all(not torch.equal(before[:, frame], after[:, frame]) for frame in range(3))


def test_normalisation_is_in_float32_and_weighted_in_the_dtype_of_the_input():
    norm, ones = RMSNorm(48).bfloat16(), torch.full((1, 48), 300.0).bfloat16()
    norm.weight.data.fill_(1.0078125)  # the bfloat16 number after 1
    assert norm(ones).dtype == torch.bfloat16
    assert torch.equal(norm(ones), norm.weight[None])
    x = torch.randn(5, 48, generator=torch.Generator().manual_seed(0)).bfloat16()
    wide = x.float() / (x.float().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(norm(x).float(), wide * 1.0078125, rtol=2**-7)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_modulated_norm_is_normalised_then_scaled_then_shifted(rows):
    x = torch.randn(2, 5, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 3
    shift, scale = torch.randn(2, rows, 1, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    expected = (x - mean) / (variance + 1e-6).sqrt() * scale + shift
    assert torch.allclose(modulated_norm(x, shift, scale), expected, rtol=1e-12, atol=1e-12)


def test_one_row_of_modulation_is_normalised_scaled_and_shifted_by_one_kernel():
    x, (shift, scale) = torch.randn(2, 5, 48), torch.randn(2, 1, 1, 48)
    with Operations() as operations:
        modulated_norm(x, shift, scale)
    assert operations.computed == ["aten.native_layer_norm.default"]


class Operations(TorchDispatchMode):
    """Collects the names of operations, without views."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.computed.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_pass_adds_no_modulation_to_its_timestep(model):
    model, text = copy.deepcopy(model), model.project_text(prompt(0))
    time = model.modulate(torch.tensor([625.0]))
    before = model(_latents(), time, text, _first_block()[1])
    for module in (*model.blocks, model.head):
        module.modulation.fill_(torch.nan)
    assert torch.equal(model(_latents(), time, text, _first_block()[1]), before)


def test_a_modulation_is_that_of_the_timestep_plus_the_layer_s_with_one_added_to_scales(model):
    time = model.modulate(torch.tensor([625.0]))
    embedding = model.time_embedding(sinusoid(torch.tensor([625.0]), SMALL_MODEL.freq_dim).float())
    shared = model.time_projection(embedding).unflatten(1, (6, -1))
    for layer, modulation in zip(model.blocks, time.layers, strict=True):
        plain = layer.modulation + shared
        assert torch.equal(modulation, torch.stack([plain[:, i] + (i in (1, 4)) for i in range(6)], dim=1))
    assert torch.equal(time.head[:, 0], model.head.modulation[:, 0] + embedding)
    assert torch.equal(time.head[:, 1], model.head.modulation[:, 1] + embedding + 1)


def test_a_timestep_is_embedded_in_cosines_and_then_sines():
    embedded = sinusoid(torch.tensor([0.0, 625.0]), 8)
    angles = 625 * 10000.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
    assert embedded.dtype == torch.float64
    assert embedded[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert torch.allclose(embedded[1], torch.cat((angles.cos(), angles.sin())))


def test_text_keys_and_values_of_every_layer_come_from_a_tanh_gelu_embedding(model):
    first, _, last = model.text_embedding
    text_kv = model.project_text(prompt(0))
    tokens = last(F.gelu(first(prompt(0)), approximate="tanh"))
    attention = model.blocks[1].cross_attn
    key = attention.norm_k(attention.k(tokens)).unflatten(2, (4, 12)).transpose(1, 2)
    assert len(text_kv) == SMALL_MODEL.num_layers
    assert torch.allclose(text_kv[1][0], key)
    assert torch.allclose(text_kv[1][1], attention.v(tokens).unflatten(2, (4, 12)).transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_is_the_same_with_and_without_gradients_and_keeps_its_input(dtype):
    x = torch.cat((torch.linspace(-12, 12, 4001), torch.tensor([-1e4, 1e4]))).to(dtype)
    before, expected = x.clone(), F.gelu(x, approximate="tanh")
    with torch.no_grad():
        assert torch.allclose(TanhGELU()(x), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(TanhGELU()(x), expected)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("config", "file", "tensors", "numbers"),
    [
        (WAN_1_3B, "keys_1.3B.json", 825, 1_418_996_800),
        (WAN_14B, "keys_14B.json", 1095, 14_288_491_584),
    ],
)
def test_parameters_have_the_official_names_and_shapes(config, file, tensors, numbers):
    with torch.device("meta"):
        ours = {name: list(value.shape) for name, value in CausalWanTransformer(config).state_dict().items()}
    assert len(ours) == tensors
    assert sum(torch.Size(shape).numel() for shape in ours.values()) == numbers
    if GOLDENS is None or not (Path(GOLDENS) / file).exists():
        pytest.skip(f"counts agree; names and shapes are compared where INFROPE_GOLDENS holds {file}")
    official = json.loads((Path(GOLDENS) / file).read_text())
    assert ours == _by_name(official)


def _by_name(official) -> dict[str, list[int]]:
    shapes = official.get("keys", official)
    return {name.removeprefix("model."): shape for name, shape in shapes.items()}
