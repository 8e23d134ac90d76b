"""Run the evaluation: `python -m examples.pocket_world.evaluate`."""

from examples.pocket_world.evaluate import evaluation
from infrope_env.output import run_program

evaluation.main(run_program(evaluation.Options, description=evaluation.__doc__))
