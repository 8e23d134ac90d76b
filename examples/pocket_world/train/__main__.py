"""Run every training stage: `python -m examples.pocket_world.train`."""

from examples.pocket_world.train import pipeline
from infrope_env.output import run_program

pipeline.main(run_program(pipeline.Options, description=pipeline.__doc__))
