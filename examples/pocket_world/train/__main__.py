"""Run every training stage: `python -m examples.pocket_world.train`."""

import tyro

from examples.pocket_world.train import pipeline

pipeline.main(tyro.cli(pipeline.Options, description=pipeline.__doc__))
