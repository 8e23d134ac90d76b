"""The longest rollout that a script or a storyboard may ask for."""

MOST_BLOCKS = 1_000_000
"""Blocks of a script or storyboard: eight days of play."""


def check_length(blocks: int, what: str) -> int:
    """Return a number of blocks; ValueError when it is above `MOST_BLOCKS`, a sentence that begins with `what`."""
    if blocks > MOST_BLOCKS:
        days = f" ({blocks * 0.75 / 86_400:.3g} days)" if blocks < 10**100 else ""
        asked = f"{blocks:,} blocks{days}" if blocks < 10**18 else "far more"
        raise ValueError(f"{what} is too long: expected at most {MOST_BLOCKS:,} blocks, got {asked}")
    return blocks
