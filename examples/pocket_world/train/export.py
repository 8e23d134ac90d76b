"""Pack trained checkpoints into a world folder that `infrope_env` loads, with its card and training record.

python -m examples.pocket_world.train.export --out infrope_env/assets/pocket
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import nn

from examples.pocket_world.evaluate.evaluation import commit
from examples.pocket_world.train.codec import load_codec
from examples.pocket_world.train.generator import PocketGenerator
from infrope_env.config import Sampler, Window
from infrope_env.models.world_folder import save_world
from infrope_env.recording import run_info as circumstances

RECORD = Path(__file__).parent / "training.json"


@dataclass(frozen=True)
class Options:
    """Settings.

    Attributes:
        generator: run folder of the student, or of the teacher.
        average: take the moving average of the weights instead of the last ones.
        history: run folders, besides the generator's, whose last logged rows go into the training record.
        note: what the record should say beside the runs.
        record: also write examples/pocket_world/training.json, the record of the bundled weights.
    """

    generator: Path = Path("runs/student")
    codec: Path = Path("runs/codec")
    out: Path = Path("infrope_env/assets/pocket")
    name: str = "pocket"
    history: tuple[Path, ...] = ()
    average: bool = True
    note: str = ""
    record: bool = False


def main(options: Options) -> None:
    """Write the world folder."""
    checkpoint = torch.load(options.generator / "checkpoint.pt", weights_only=True)
    model = PocketGenerator.of(checkpoint["average" if options.average else "model"])
    codec = load_codec(options.codec)
    facts = training_facts(options)
    parts = [_bfloat16(module) for module in (model.transformer, model.text, codec.decoder)]
    fields: dict[str, Any] = {"name": options.name, "window": Window(), "sampler": Sampler(), "training": facts}
    save_world(options.out, *parts, fields, codec.encoder)
    if options.record:
        RECORD.write_text(json.dumps(facts, indent=2) + "\n")
    print(f"wrote {options.out}")


def training_facts(options: Options) -> dict[str, object]:
    """How the weights were made, and how far each run went: its last logged row."""
    return {
        "license": "Apache-2.0",
        "data": "clips of random play rendered by examples/pocket_world/world/state.py",
        "commands": [f"python -m examples.pocket_world.{stage}" for stage in STAGES],
        "machine": f"{circumstances.processor()}, one thread a process",
        "runs": {folder.name: _last_row(folder / "log.jsonl") for folder in (*options.history, options.generator)},
        "torch": torch.__version__,
        "commit": commit(),
        **({"note": options.note} if options.note else {}),
    }


STAGES = ("train_codec", "encode", "train_teacher", "train_student", "export")


def _last_row(log: Path) -> dict[str, float]:
    return json.loads(log.read_text().splitlines()[-1]) if log.exists() else {}


def _bfloat16(module: nn.Module) -> Any:
    """Weights as they are used on most machines; half the size."""
    return module.bfloat16()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
