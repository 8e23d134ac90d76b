"""Runs the measurement: python -m examples.key_to_pixel."""

from examples.key_to_pixel.command import main
from infrope_env.output import run_program

if __name__ == "__main__":
    run_program(main, description=main.__doc__)
