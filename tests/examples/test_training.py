"""Parts of the training: block weights, noise levels, context noise augmentation, loss weights, Muon, widening."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import spawn

from examples.pocket_world.train import export
from examples.pocket_world.train.encode import FIRST_BLOCK_WEIGHT, WALK_WEIGHT, EncodedClips
from examples.pocket_world.train.generator import (
    GROUND_WEIGHT,
    MOTION_WEIGHT,
    POCKET_MODEL,
    SUBJECT_WEIGHT,
    LossWeights,
    PocketGenerator,
)
from examples.pocket_world.train.run import Muon, Run, autocast, orthogonalise, orthogonalise_shared
from examples.pocket_world.train.streams import SCHEDULE
from examples.pocket_world.train.teacher import augment_context, sample_sigmas
from examples.pocket_world.train.widen import widen
from infrope_env.control.actions import Transition

START, CONTINUE, SWITCH, CUT = Transition
STAND, WALK = "a red robot stands still in a dark cave", "in a dark cave, a red robot walks to the right"


def three_clips() -> EncodedClips:
    return EncodedClips(
        latents=torch.zeros(3, 9, 1, 2, 2),
        captions=[[STAND] * 3, [STAND, WALK, WALK], [STAND, STAND, WALK]],
        transitions=[[START, CONTINUE, CONTINUE], [START, SWITCH, CONTINUE], [START, CONTINUE, SWITCH]],
        time_skips=[False, False, True],
    )


def test_walks_and_first_blocks_weigh_most_and_blocks_after_a_time_skip_nothing() -> None:
    w, first = WALK_WEIGHT, FIRST_BLOCK_WEIGHT
    assert w > 1 and first > 1
    assert three_clips().block_weights.tolist() == [[first, 1, 1], [first, w, w], [first, 0, w]]


def test_clips_are_drawn_in_proportion_to_their_block_weights() -> None:
    rng = np.random.default_rng(0)
    drawn = np.bincount([three_clips().sample(rng, 1)[0] for _ in range(600)], minlength=3)
    shares = FIRST_BLOCK_WEIGHT + np.array([2, 2 * WALK_WEIGHT, WALK_WEIGHT])
    assert np.abs(drawn / 600 - shares / shares.sum()).max() < 0.07


def test_most_noise_levels_below_1_are_the_samplers_own() -> None:
    sigmas = sample_sigmas(np.random.default_rng(0), 1000, at_steps=0.8)
    own = torch.tensor(SCHEDULE.sigmas[1:])
    share = (sigmas[:, None] == own).any(1).float().mean().item()
    assert share == pytest.approx(0.8, abs=0.05) and sigmas.max() < 1


def test_context_noise_has_a_strength_per_block_and_is_strongest_in_faint_channels() -> None:
    weights = LossWeights.of(torch.tensor([0.01, 1.0]), torch.device("cpu"))
    augmented = augment_context(torch.zeros(64, 3, 2, 8, 8), weights, torch.Generator().manual_seed(0))
    faint, strong = augmented.std(dim=(1, 3, 4)).unbind(1)
    assert faint.min() < 0.02 and faint.max() > 0.6
    assert (strong / faint).mean() == pytest.approx(0.01**0.125, rel=0.1)


def test_faint_channels_and_the_subject_weigh_less_and_the_ground_more() -> None:
    weights = LossWeights.of(torch.tensor([0.01, 1.0]), torch.device("cpu"))
    target = torch.zeros(1, 3, 2, *POCKET_MODEL.latent_size)

    def error(channel: int, row: int, column: int) -> float:
        wrong = target.clone()
        wrong[:, :, channel, row, column] = 1
        return weights.error(wrong, target, torch.ones(1)).item()

    plain = error(0, 0, 0)
    assert error(1, 0, 0) == pytest.approx(10 * plain, rel=1e-4)
    assert error(0, 5, 9) == pytest.approx(SUBJECT_WEIGHT * plain, rel=1e-4)
    assert error(0, 11, 0) == pytest.approx(GROUND_WEIGHT * plain, rel=1e-4)
    assert error(0, 11, 9) == pytest.approx(GROUND_WEIGHT * SUBJECT_WEIGHT * plain, rel=1e-4)


def test_moving_latent_pixels_weigh_more() -> None:
    weights = LossWeights.of(torch.ones(2), torch.device("cpu"))
    target = torch.zeros(1, 3, 2, *POCKET_MODEL.latent_size)
    target[:, :, :, :, 0] = torch.tensor([-5.0, 0, 5])[:, None, None]
    moving = weights.motion(target)[0, :, 0]
    assert moving[:, :, 0].min() > 0.95 and moving[:, :, 1:].max() == 0
    errors = []
    for column in (0, 1):
        wrong = target.clone()
        wrong[..., column] += 1
        errors.append(weights.error(wrong, target, torch.ones(1)).item())
    assert errors[0] == pytest.approx((1 + MOTION_WEIGHT) * errors[1], rel=0.05)


def test_muon_orthogonalises_its_updates_and_learns() -> None:
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalise(torch.randn(24, 60)))
    assert singular.min() > 0.6 and singular.max() < 1.3
    layer, goal = nn.Linear(8, 8, bias=False), torch.randn(8, 8)
    optimizer = Muon([layer.weight], lr=0.05)
    x = torch.randn(256, 8)
    first = last = 0.0
    for step in range(120):
        optimizer.zero_grad()
        loss = (layer(x) - x @ goal.T).square().mean()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.05 * first


def short_run(folder: Path, iterations: int) -> tuple[Run, nn.Linear]:
    layer = nn.Linear(2, 2)
    return Run(folder, {"model": layer}, [torch.optim.AdamW(layer.parameters(), lr=0.1)], iterations), layer


def test_a_pass_without_gradients_takes_none_from_the_next_one_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.pocket_world.train.run.fast_dtype", lambda device: torch.bfloat16)
    layer = nn.Linear(4, 4)
    with autocast(torch.device("cpu")):
        with torch.no_grad():
            hidden = layer(torch.ones(1, 4))
        output = layer(hidden)
    output.sum().backward()
    assert output.dtype is torch.bfloat16 and layer.weight.grad is not None


def test_a_run_resumes_with_the_weights_and_the_iteration_of_its_checkpoint(tmp_path: Path) -> None:
    run, layer = short_run(tmp_path, iterations=4)
    for _ in run:
        layer.weight.grad = torch.ones(2, 2)
        run.optimizers[0].step()
        if run.iteration == 1:
            run.minutes = 0  # stops after this iteration, as a time limit does
    resumed, again = short_run(tmp_path, iterations=4)
    assert list(resumed) == [2, 3]
    assert torch.equal(again.weight, layer.weight)
    assert torch.load(tmp_path / "checkpoint.pt").keys() == {"model", "optimizers", "iteration", "minutes"}


def test_a_failed_save_keeps_the_last_checkpoint_and_leaves_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = short_run(tmp_path, iterations=1)
    run.save()
    before = run.checkpoint.read_bytes()

    def fail(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        run.save()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"] and run.checkpoint.read_bytes() == before


def orthogonalise_in_process(process: int, store: str, matrices: list[torch.Tensor], out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=process, world_size=2)
    torch.save(orthogonalise_shared(matrices), f"{out}{process}")
    dist.destroy_process_group()


def test_processes_share_the_orthogonalisation_and_get_equal_results(tmp_path: Path) -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(8, 20), torch.randn(20, 8), torch.randn(8, 8)]
    spawn(orthogonalise_in_process, (str(tmp_path / "store"), matrices, str(tmp_path / "out")), nprocs=2)
    for process in (0, 1):
        shared = torch.load(tmp_path / f"out{process}")
        assert all(torch.equal(a, orthogonalise(b)) for a, b in zip(shared, matrices, strict=True))


def test_a_generator_may_be_narrower_by_whole_heads_and_its_width_follows_from_its_weights() -> None:
    narrow = PocketGenerator(192)
    assert narrow.transformer.config == replace(POCKET_MODEL, dim=192, ffn_dim=512, num_heads=3)
    assert PocketGenerator.from_weights(narrow.state_dict()).transformer.config == narrow.transformer.config
    assert PocketGenerator().transformer.config == POCKET_MODEL
    for width in (0, 200):
        with pytest.raises(ValueError, match="multiple of 64"):
            PocketGenerator(width)


def test_a_widened_generator_computes_nearly_the_same_and_its_new_channels_get_gradients() -> None:
    torch.manual_seed(0)
    wide, narrow = PocketGenerator(), PocketGenerator(320)
    for module in narrow.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1)  # as large as trained weights, so that every layer matters
    wide.load_state_dict(widen(narrow.state_dict(), wide.state_dict(), POCKET_MODEL.head_dim))
    one, other = (_output(model) for model in (narrow, wide))
    assert (one - other).square().mean() < 0.01 * one.var()
    other.square().mean().backward()
    new_channels = wide.transformer.patch_embedding.weight.grad[320:], wide.transformer.blocks[0].ffn[2].weight.grad
    assert all(gradient.abs().max() > 0 for gradient in new_channels)


def test_weights_of_the_same_size_are_copied() -> None:
    state, fresh = PocketGenerator().state_dict(), PocketGenerator().state_dict()
    same = widen(state, fresh, POCKET_MODEL.head_dim)
    assert all(torch.allclose(same[name], value, atol=1e-6) for name, value in state.items())


class EmptyContext:
    """An attention context without cached frames."""

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(query, key, value)

    def write_kv(self, key: torch.Tensor, value: torch.Tensor) -> None:
        raise AssertionError("nothing is committed here")


def _output(model: PocketGenerator) -> torch.Tensor:
    size = (1, 3, POCKET_MODEL.latent_channels, *POCKET_MODEL.latent_size)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(3))
    transformer = model.transformer
    time, text = transformer.modulate(torch.tensor([900.0])), model.text_kv([STAND])
    return transformer(noise, time, text, [EmptyContext()] * len(text))


def test_the_training_record_holds_the_last_row_of_the_generators_run_and_of_the_history(tmp_path: Path) -> None:
    for name in ("teacher", "student", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(f'{{"iteration": 1}}\n{{"iteration": {len(name)}}}\n')
    options = export.Options(generator=tmp_path / "student", history=(tmp_path / "teacher",))
    assert list(export.training_facts(options)["runs"].items()) == [  # type: ignore[attr-defined]
        ("teacher", {"iteration": 7}),
        ("student", {"iteration": 7}),
    ]
