"""Run `python -m examples.ablations`."""

import tyro

from examples.ablations import command

command.main(tyro.cli(command.Options, description=command.__doc__))
