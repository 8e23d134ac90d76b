"""Run the evaluation: `python -m examples.pocket_world.evaluate`."""

import tyro

from examples.pocket_world.evaluate import evaluation

evaluation.main(tyro.cli(evaluation.Options, description=evaluation.__doc__))
