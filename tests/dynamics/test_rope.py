"""Rotations: relative in effect, and split between time, row and column as in Wan."""

import math

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable, interpolation, rotate
from infrope_env.models.compile import compile_layers
from tests.dynamics.small_engine import START, play, small_model

HEAD_DIM = 32  # 16 pairs: 6 for time, 5 for rows, 5 for columns


def test_a_pair_is_rotated_by_its_own_frequency():
    table = RotaryTable(HEAD_DIM, rows=1, cols=1)
    x = torch.zeros(1, HEAD_DIM)
    x[0, 2] = 1.0  # the second pair of time
    turned = rotate(x, table.at((5,)))[0]
    angle = 5 * 10000 ** (-1 / 6)
    assert turned[2:4].tolist() == pytest.approx([math.cos(angle), math.sin(angle)], abs=1e-6)
    assert turned.square().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize(("head_dim", "time"), [(24, 4), (32, 6), (40, 8), (128, 22), (48, 8)])
def test_time_has_the_pairs_that_rows_and_columns_do_not_use(head_dim, time):
    table = RotaryTable(head_dim, rows=2, cols=3)
    moved = (table.at((0,)).cos - table.at((9,)).cos).abs().sum(0) > 1e-9
    assert moved.tolist() == [True] * time + [False] * (head_dim // 2 - time)


def test_tokens_are_ordered_frame_by_frame_and_row_by_row():
    table = RotaryTable(HEAD_DIM, rows=2, cols=3)
    angles = torch.atan2(table.at((0, 1)).sin, table.at((0, 1)).cos)
    assert angles[:, 0].tolist() == pytest.approx([0] * 6 + [1] * 6)
    assert angles[:, 6].tolist() == pytest.approx([0, 0, 0, 1, 1, 1] * 2)
    assert angles[:, 11].tolist() == pytest.approx([0, 1, 2] * 4)


def test_only_differences_of_coordinates_matter():
    table = RotaryTable(HEAD_DIM, rows=1, cols=1)
    query, key = torch.randn(2, 1, HEAD_DIM).double().float().unbind()
    scores = [
        (rotate(query, table.at((5 + shift,))) * rotate(key, table.at((2 + shift,)))).sum() for shift in (0, 40, 900)
    ]
    assert scores[1].item() == pytest.approx(scores[0].item(), abs=1e-4)
    assert scores[2].item() == pytest.approx(scores[0].item(), abs=1e-4)


def test_frames_are_rotated_alike_together_and_alone():
    table = RotaryTable(HEAD_DIM, rows=2, cols=2)
    x = torch.randn(2, 3, 8, HEAD_DIM)
    alone = torch.cat((rotate(x[:, :, :4], table.at((7,))), rotate(x[:, :, 4:], table.at((45,)))), dim=2)
    assert torch.equal(rotate(x, table.at((7, 45))), alone)


def test_bfloat16_is_rotated_in_float32_and_rounded_once():
    rotation = RotaryTable(HEAD_DIM, rows=1, cols=1).at((3,))
    x = torch.randn(1, HEAD_DIM).bfloat16()
    assert torch.equal(rotate(x, rotation), rotate(x.float(), rotation).bfloat16())


def test_gradients_flow_through_a_rotation():
    rotation = RotaryTable(HEAD_DIM, rows=1, cols=1).at((3,))
    x = torch.randn(1, HEAD_DIM, requires_grad=True)
    rotate(x, rotation).square().sum().backward()
    assert torch.allclose(x.grad, 2 * x)


@pytest.mark.parametrize("coordinate", [-1, 1024])
def test_a_coordinate_outside_the_table_is_refused(coordinate):
    with pytest.raises(ValueError, match=f"coordinate {coordinate} is outside the rotary table of 1024"):
        RotaryTable(HEAD_DIM, rows=1, cols=1).at((0, coordinate))


def test_a_table_has_the_length_that_was_given():
    short, usual = (RotaryTable(HEAD_DIM, rows=1, cols=1, **given) for given in ({"length": 4}, {}))
    assert torch.equal(short.at((3,)).cos, usual.at((3,)).cos)
    with pytest.raises(ValueError, match="coordinate 4 is outside the rotary table of 4"):
        short.at((4,))
    longer = RotaryTable(HEAD_DIM, rows=1, cols=1, length=2000)
    assert torch.equal(longer.at((1023,)).sin, usual.at((1023,)).sin)
    longer.at((1999,))


def test_a_compiler_sees_real_arithmetic_that_equals_the_complex_product():
    table, graphs = RotaryTable(HEAD_DIM, rows=2, cols=3), []
    rotation = table.at((0, 7, 900))
    x = torch.randn(2, 18, HEAD_DIM, generator=torch.Generator().manual_seed(0))

    def backend(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(str(graph.graph))
        return graph

    compiled = torch.compile(lambda x: rotate(x, rotation), backend=backend, fullgraph=True)(x)
    torch._dynamo.reset()
    assert len(graphs) == 1 and "mul" in graphs[0] and "complex" not in graphs[0]
    assert torch.allclose(compiled, rotate(x, rotation), atol=1e-6)


def test_compiled_layers_multiply_no_complex_numbers():
    operations: list[set[str]] = []

    def collect(graph: torch.fx.GraphModule, _: object) -> object:
        operations.append({str(node.target) for node in graph.graph.nodes if node.op == "call_function"})
        return make_boxed_func(graph.forward)

    model = small_model()
    compile_layers(model, aot_autograd(fw_compiler=collect, inference_compiler=collect))
    play(Rollout(model), [START])
    torch._dynamo.reset()
    assert operations  # one set for every graph
    for each in operations:
        assert {"aten.mul.Tensor", "aten.sub.Tensor", "aten.stack.default"} <= each
        assert not [name for name in each if "complex" in name]


def test_frequencies_that_complete_a_period_in_training_are_not_interpolated():
    frequencies = torch.tensor([2.0, 2 * torch.pi / 21, torch.pi / 21, 0.0], dtype=torch.float64)
    factors = interpolation(frequencies, horizon=84)  # four times the 21 frames of training
    assert factors.tolist() == pytest.approx([1, 1, 0.5 + 0.5 / 4, 1 / 4])
    usual, flex = RotaryTable(HEAD_DIM, 1, 1), RotaryTable(HEAD_DIM, 1, 1, flex_horizon=84)
    assert torch.equal(usual.at((9,)).cos[:, 0], flex.at((9,)).cos[:, 0])  # the fastest
    assert not torch.equal(usual.at((9,)).cos[:, 1], flex.at((9,)).cos[:, 1])


def test_the_slowest_frequency_reaches_at_the_horizon_the_angle_of_the_end_of_training():
    usual, flex = RotaryTable(128, 1, 1), RotaryTable(128, 1, 1, flex_horizon=84)
    time_pairs = 64 - 2 * 21
    trained, far = usual.at((21,)).sin[:, time_pairs - 1], flex.at((84,)).sin[:, time_pairs - 1]
    assert torch.allclose(trained, far, rtol=0.02)
