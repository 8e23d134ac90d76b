"""Run `python -m examples.soak`."""

import sys

from examples.soak import command
from infrope_env.output import run_program

sys.exit(command.main(run_program(command.Options, description=command.__doc__)))
