"""Stages of the training run for an iteration: with arrangements, first blocks, and the bundled world's encoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.pocket_world.train import encode, student, teacher
from examples.pocket_world.train.run import require_same_data
from examples.pocket_world.train.student import StudentRollout

POCKET = Path(__file__).parents[2] / "infrope_env/assets/pocket"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with encoded clips of arrangements, and a narrow teacher of one iteration."""
    made = tmp_path_factory.mktemp("training")
    encode.main(encode.Options(POCKET, made / "clips", shards=1, clips_per_shard=1, arrangements=True))
    run = teacher.Options(made / "clips", POCKET, made / "teacher", iterations=1, batch=1, width=64, arrangements=True)
    teacher.main(replace(run, first_block_batch=1))
    return made


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["model"]


def test_first_blocks_are_a_part_of_the_teachers_loss(folder: Path) -> None:
    run = teacher.Options(
        folder / "clips", POCKET, folder / "plain", iterations=1, batch=1, width=64, arrangements=True
    )
    teacher.main(run)
    name = "transformer.head.head.weight"
    assert not torch.equal(checkpoint(folder / "plain")[name], checkpoint(folder / "teacher")[name])


def test_a_resumed_student_goes_on_with_other_rollouts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[list[int]] = []

    class Watched(StudentRollout):
        def __init__(self, model: object, forcing: object, encoder: object, seed: list[int], *more: object) -> None:
            seeds.append(seed)
            super().__init__(model, forcing, encoder, seed, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(student, "StudentRollout", Watched)
    sizes = {"batch": 1, "blocks": 1, "first_block_batch": 1, "arrangements": True}
    run = student.Options(folder / "clips", POCKET, folder / "teacher", folder / "student", iterations=1, **sizes)  # type: ignore[arg-type]
    student.main(run)
    student.main(replace(run, iterations=2))
    assert seeds == [[run.seed, 0, 0, 0], [run.seed, 1, 0, 0]]
    assert all(np.isfinite(tensor.numpy()).all() for tensor in checkpoint(folder / "student").values())


def test_clips_of_other_options_are_not_mixed(folder: Path) -> None:
    assert json.loads((folder / "clips" / "data.json").read_text())["arrangements"] is True
    with pytest.raises(ValueError, match=r"was begun with \{.*'arrangements': True.*Choose another folder"):
        encode.main(encode.Options(POCKET, folder / "clips", shards=1, clips_per_shard=1))
    require_same_data(folder / "new", {"seed": 1})
    require_same_data(folder / "new", {"seed": 1})
