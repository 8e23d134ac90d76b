"""Pack trained checkpoints into a world folder that `infrope_env` loads, with its card and training record.

    python -m examples.pocket_world.train.export --generator runs/student --out runs/world

The weights are written in bfloat16.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from examples.pocket_world.evaluate.report import git_commit
from examples.pocket_world.train.codec import load_codec
from examples.pocket_world.train.generator import PocketGenerator
from infrope_env.config import Sampler, Window
from infrope_env.models.world_folder import save_world
from infrope_env.output import run_program
from infrope_env.recording import run_info

RECORD = Path(__file__).parent / "training.json"
STAGES = ("codec", "encode", "teacher", "student", "export")


@dataclass(frozen=True)
class Options:
    """Settings of the export.

    Attributes:
        generator: Run folder of the student, or of the teacher.
        codec: Run folder of the codec.
        out: World folder to write.
        name: Name of the model on its card.
        history: Run folders, besides the generator's, whose last logged row goes into the training record.
        average: Export the moving average of the weights instead of the last ones.
        note: Text to add to the training record.
        record: Also write examples/pocket_world/train/training.json, the record of the bundled weights.
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
    """Write the world folder, in bfloat16."""
    checkpoint = torch.load(options.generator / "checkpoint.pt", weights_only=True)
    model = PocketGenerator.from_weights(checkpoint["average" if options.average else "model"])
    codec = load_codec(options.codec)
    facts = training_facts(options)
    fields: dict[str, Any] = {"name": options.name, "window": Window(), "sampler": Sampler(), "training": facts}
    transformer, text, decoder = model.transformer.bfloat16(), model.text.bfloat16(), codec.decoder.bfloat16()
    save_world(options.out, transformer, text, decoder, fields, codec.encoder)
    if options.record:
        RECORD.write_text(json.dumps(facts, indent=2) + "\n")
    print(f"wrote {options.out}")


def training_facts(options: Options) -> dict[str, object]:
    """Return how the weights were made: commands, machine, versions, and the last logged row of every run."""
    return {
        "license": "Apache-2.0",
        "data": "clips of random play rendered by examples/pocket_world/world/state.py",
        "commands": [f"python -m examples.pocket_world.train.{stage}" for stage in STAGES],
        "machine": f"{run_info.processor()}, one thread a process",
        "runs": {folder.name: _last_row(folder / "log.jsonl") for folder in (*options.history, options.generator)},
        "torch": torch.__version__,
        "commit": git_commit(),
        **({"note": options.note} if options.note else {}),
    }


def _last_row(log: Path) -> dict[str, float]:
    return json.loads(log.read_text().splitlines()[-1]) if log.exists() else {}


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
