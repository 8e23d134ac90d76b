"""Run `python -m examples.ablations`."""

from examples.ablations import command
from infrope_env.output import run_program

command.main(run_program(command.Options, description=command.__doc__))
