"""Run `python -m examples.speed`."""

from examples.speed import command
from infrope_env.output import run_program

command.main(run_program(command.Options, description=command.__doc__))
