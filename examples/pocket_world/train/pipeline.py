"""From nothing to a world folder by one command: codec, clips, teacher, student, world folder.

python -m examples.pocket_world.train --folder runs/mine        (goes on where it stopped)

Every stage is a command of its own, printed before it runs. At the default sizes two processor cores that
compute in bfloat16 are busy for an hour and a half (0.5 s an iteration of the narrow generator, 2.2 s of the teacher,
3.5 s of the student); others for about six hours.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from examples.pocket_world.train import encode
from examples.pocket_world.train import student as train_student
from examples.pocket_world.train import teacher as train_teacher
from examples.pocket_world.train.codec import FILE
from examples.pocket_world.train.generator import POCKET_MODEL

HERE = "examples.pocket_world.train"


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        folder: holds a folder for every stage; the world folder is its `world`.
        processes: share the work of encoding and training; one where there is a GPU.
        shards: of 64 clips each.
        narrow_iterations: of teacher forcing of a generator half as wide, which the teacher begins with.
        teacher_iterations: of teacher forcing.
        student_iterations: of self-rollout.
        batch: clips an iteration and process.
        show: print the commands and run none.
    """

    folder: Path = Path("runs/mine")
    processes: int = 1 if torch.cuda.is_available() else 2
    shards: int = encode.Options.shards
    narrow_iterations: int = 2000
    teacher_iterations: int = train_teacher.Options.iterations
    student_iterations: int = train_student.Options.iterations
    batch: int = train_teacher.Options.batch
    show: bool = False


def main(options: Options) -> None:
    """Run every stage that is not done."""
    for command, made in stages(options):
        print(f"\n$ {shlex.join(command)}", flush=True)
        if made is not None and made.exists():
            print(f"done: {made} is there")
        elif not options.show:
            subprocess.run(command, check=True)


def stages(options: Options) -> list[tuple[list[str], Path | None]]:
    """Each stage's command, and the file that it is not run again for; None where it sees by itself what is left."""
    folder = options.folder
    codec, clips, narrow, teacher, student, world = (
        folder / name for name in ("codec", "clips", "narrow", "teacher", "student", "world")
    )
    shared = {"clips": clips, "codec": codec, "batch": options.batch}
    alone, together = [sys.executable, "-m"], _launcher(options.processes)
    half = {"width": POCKET_MODEL.dim // 2, "iterations": options.narrow_iterations, **shared, "batch": 1}
    begin = _command("teacher", folder=narrow, **half)
    teach = _command("teacher", initial=narrow, folder=teacher, iterations=options.teacher_iterations, **shared)
    roll = _command("student", teacher=teacher, folder=student, iterations=options.student_iterations, **shared)
    return [
        (alone + _command("codec", folder=codec), codec / FILE),
        (together + _command("encode", codec=codec, folder=clips, shards=options.shards), None),
        (together + begin, None),
        (together + teach, None),
        (together + roll, None),
        (alone + _command("export", generator=student, codec=codec, out=world, history=(narrow, teacher)), None),
    ]


def _launcher(processes: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m"]


def _command(stage: str, **settings: object) -> list[str]:
    words = [f"{HERE}.{stage}"]
    for name, value in settings.items():
        words += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words
