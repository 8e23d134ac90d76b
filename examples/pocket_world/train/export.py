"""Pack trained checkpoints into a world folder that `infrope_env` loads, with its card and training record.

    python -m examples.pocket_world.train.export --generator runs/student --out runs/world
    python -m examples.pocket_world.train.export --world runs/linear --decoder runs/decoder --out runs/world

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
from examples.pocket_world.train.decoder import load_decoder
from examples.pocket_world.train.generator import PocketGenerator
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import load_card, load_world, save_world
from infrope_env.output import run_program
from infrope_env.pixels.conv_decoder import ConvDecoder
from infrope_env.pixels.patch_codec import PatchDecoder
from infrope_env.recording import run_info
from infrope_env.text.encoder import PocketTextEncoder

RECORD = Path(__file__).parent / "training.json"
STAGES = ("codec", "encode", "teacher", "student", "export")
DECODER_STAGES = ("rollouts", "decoder", "export")


@dataclass(frozen=True)
class Options:
    """Settings of the export.

    Attributes:
        generator: Run folder of the student, or of the teacher.
        world: World folder to take generator, text encoder and training record from, in place of `generator`.
        codec: Run folder of the codec.
        decoder: Run folder of the convolutional decoder; without one the codec's linear decoder is packed.
        out: World folder to write.
        name: Name of the model on its card.
        history: Run folders, besides the generator's, whose last logged row goes into the training record.
        average: Export the moving average of the weights instead of the last ones.
        note: Text to add to the training record.
        record: Also write examples/pocket_world/train/training.json, the record of the bundled weights.
    """

    generator: Path = Path("runs/student")
    world: Path | None = None
    codec: Path = Path("runs/codec")
    decoder: Path | None = None
    out: Path = Path("infrope_env/assets/pocket")
    name: str = "pocket"
    history: tuple[Path, ...] = ()
    average: bool = True
    note: str = ""
    record: bool = False


def main(options: Options) -> None:
    """Write the world folder, in bfloat16."""
    codec = load_codec(options.codec)
    transformer, text, facts = generator_parts(options) if options.world is None else world_parts(options.world)
    decoder: PatchDecoder | ConvDecoder = codec.decoder
    if options.decoder is not None:
        decoder, facts = (
            load_decoder(options.decoder, codec.encoder),
            with_decoder(facts, options.decoder, options.note),
        )
    fields: dict[str, Any] = {"name": options.name, "window": Window(), "sampler": Sampler(), "training": facts}
    save_world(options.out, transformer.bfloat16(), text.bfloat16(), decoder.bfloat16(), fields, codec.encoder)
    if options.record:
        RECORD.write_text(json.dumps(facts, indent=2) + "\n")
    print(f"wrote {options.out}")


def generator_parts(options: Options) -> tuple[CausalWanTransformer, PocketTextEncoder, dict[str, Any]]:
    """Return transformer, text encoder and training record of a run."""
    checkpoint = torch.load(options.generator / "checkpoint.pt", weights_only=True)
    model = PocketGenerator.from_weights(checkpoint["average" if options.average else "model"])
    return model.transformer, model.text, training_facts(options)


def world_parts(folder: Path) -> tuple[CausalWanTransformer, PocketTextEncoder, dict[str, Any]]:
    """Return transformer, text encoder and training record of a world folder; all its weights are in bfloat16."""
    world = load_world(folder, LoadOptions(device="cpu", dtype="bfloat16"))
    assert isinstance(world.text_encoder, PocketTextEncoder)
    return world.transformer, world.text_encoder, dict(load_card(folder).training)


def training_facts(options: Options) -> dict[str, Any]:
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


def with_decoder(facts: dict[str, Any], decoder: Path, note: str) -> dict[str, Any]:
    """Return a training record to which the stages of the decoder are added, with a note on them."""
    commands = [f"python -m examples.pocket_world.train.{stage}" for stage in DECODER_STAGES]
    made: dict[str, Any] = {"note": note} if note else {}
    made |= {"machine": f"{run_info.processor()}, one thread a process", "torch": torch.__version__}
    return facts | {
        "commands": [*facts["commands"], *commands],
        "runs": {**facts["runs"], "decoder": _last_row(decoder / "log.jsonl") | made | {"commit": git_commit()}},
    }


def _last_row(log: Path) -> dict[str, float]:
    return json.loads(log.read_text().splitlines()[-1]) if log.exists() else {}


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
