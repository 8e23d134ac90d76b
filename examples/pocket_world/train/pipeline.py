"""Train a world folder from scratch: codec, clips, teacher, student, export, recorded rollouts, decoder, export.

    python -m examples.pocket_world.train --folder runs/mine        (resumes where it stopped)

Each stage is a command of its own, printed before it runs. With the default sizes, two processor cores that compute in
bfloat16 need an hour and a half: 0.5 s per iteration of the narrow generator, 2.2 s of the teacher, 3.5 s of the
student. Cores without bfloat16 need about six hours.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from examples.pocket_world.train.codec import CODEC_FILE
from examples.pocket_world.train.decoder import Options as DecoderOptions
from examples.pocket_world.train.encode import Options as EncodeOptions
from examples.pocket_world.train.generator import POCKET_MODEL
from examples.pocket_world.train.rollouts import Options as RolloutOptions
from examples.pocket_world.train.student import Options as StudentOptions
from examples.pocket_world.train.teacher import Options as TeacherOptions

PACKAGE = "examples.pocket_world.train"
FIRST_BLOCKS = 8
"""First blocks per iteration and process of a training on arrangements."""


@dataclass(frozen=True)
class Options:
    """Settings of the whole training.

    Attributes:
        folder: Folder that holds one folder per stage; the world folder is its `world`.
        processes: Number of processes that share encoding and training; 1 where there is a GPU.
        shards: Number of shards of 64 clips each.
        narrow_iterations: Iterations of teacher forcing for the generator of half width that initialises the teacher.
        teacher_iterations: Iterations of teacher forcing for the teacher.
        student_iterations: Iterations of self-rollout for the student.
        rollout_shards: Number of shards of recorded rollouts.
        decoder_iterations: Iterations of the decoder.
        batch: Clips per iteration and process.
        arrangements: Train on all arrangements of the world, named by the captions.
        first_block_batch: First blocks per iteration and process, in addition to the clips; None means 8 with
            arrangements, which are not learnt without, and otherwise 0.
        show: Print the commands and run none.
    """

    folder: Path = Path("runs/mine")
    processes: int = 1 if torch.cuda.is_available() else 2
    shards: int = EncodeOptions.shards
    narrow_iterations: int = 2000
    teacher_iterations: int = TeacherOptions.iterations
    student_iterations: int = StudentOptions.iterations
    rollout_shards: int = RolloutOptions.shards
    decoder_iterations: int = DecoderOptions.iterations
    batch: int = TeacherOptions.batch
    arrangements: bool = False
    first_block_batch: int | None = None
    show: bool = False


def main(options: Options) -> None:
    """Run every stage that is not complete."""
    for command, made in stages(options):
        print(f"\n$ {shlex.join(command)}", flush=True)
        if made is not None and made.exists():
            print(f"done: {made} exists")
        elif not options.show:
            subprocess.run(command, check=True)


def stages(options: Options) -> list[tuple[list[str], Path | None]]:
    """Return every stage's command and the file that marks it complete; None where the stage itself resumes."""
    folder = options.folder
    codec, clips, narrow, teacher, student, linear, rollouts, decoder, world = (
        folder / name
        for name in ("codec", "clips", "narrow", "teacher", "student", "linear", "rollouts", "decoder", "world")
    )
    arrangements = {"arrangements": True} if options.arrangements else {}
    by_default = FIRST_BLOCKS if options.arrangements else 0
    first_blocks = by_default if options.first_block_batch is None else options.first_block_batch
    shared = {"clips": clips, "codec": codec, "batch": options.batch, "first-block-batch": first_blocks, **arrangements}
    single, parallel = [sys.executable, "-m"], _launcher(options.processes)
    half_width = {"width": POCKET_MODEL.dim // 2, "iterations": options.narrow_iterations, **shared, "batch": 1}
    train_narrow = _command("teacher", folder=narrow, **half_width)
    train_teacher = _command("teacher", initial=narrow, folder=teacher, iterations=options.teacher_iterations, **shared)
    train_student = _command(
        "student", teacher=teacher, folder=student, iterations=options.student_iterations, **shared
    )
    train_decoder = _command(
        "decoder", rollouts=rollouts, codec=codec, folder=decoder, iterations=options.decoder_iterations
    )
    record = _command("rollouts", world=linear, folder=rollouts, shards=options.rollout_shards, **arrangements)
    return [
        (single + _command("codec", folder=codec, **arrangements), codec / CODEC_FILE),
        (parallel + _command("encode", codec=codec, folder=clips, shards=options.shards, **arrangements), None),
        (parallel + train_narrow, None),
        (parallel + train_teacher, None),
        (parallel + train_student, None),
        (single + _command("export", generator=student, codec=codec, out=linear, history=(narrow, teacher)), None),
        (parallel + record, None),
        (parallel + train_decoder, None),
        (single + _command("export", world=linear, decoder=decoder, codec=codec, out=world), None),
    ]


def _launcher(processes: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m"]


def _command(stage: str, **settings: object) -> list[str]:
    """Return the words of a stage's command; True is an option without a value."""
    words = [f"{PACKAGE}.{stage}"]
    for name, value in settings.items():
        values = () if value is True else value if isinstance(value, tuple) else (value,)
        words += [f"--{name}", *map(str, values)]
    return words
