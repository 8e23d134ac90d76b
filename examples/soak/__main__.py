"""Run `python -m examples.soak`."""

import sys

import tyro

from examples.soak import command

sys.exit(command.main(tyro.cli(command.Options, description=command.__doc__)))
