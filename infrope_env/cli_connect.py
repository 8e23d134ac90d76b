"""`infrope play --connect`: the window of `infrope play` on the blocks of a server."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infrope_env.cli_options import RolloutOptions

TAKEN = ("connect", "token", "seed", "subject", "scene", "image")
"""Options that have a meaning for a world on a server."""


def play_remote(url: str, token: str | None, options: RolloutOptions) -> None:
    """Play the world of a server in a window until the player quits.

    Args:
        url: URL that the server printed, or a viewer's link.
        token: Its token; None takes that of the URL.
        options: All options of the command.

    Raises:
        ValueError: Other options were given that only an environment in this process takes, or the URL is none.
        RemoteError: There is no server, or it refused the connection.
        ImportError: The library of the network is not installed.
    """
    _refuse_local_options(options)
    if find_spec("websockets") is None:
        raise ImportError('--connect needs a library for the network: pip install "infrope-env[serve]"')
    from infrope_env.player.window import open_display

    open_display()  # raises where there is no display, before anything is asked of the server
    from infrope_env.player.session import PlaySession
    from infrope_env.player.window import DisplayWindow
    from infrope_env.remote.stream import RemoteStream

    stream = RemoteStream(url, token)
    try:
        window = DisplayWindow(stream.frame_size, f"infrope: {stream.title}")
        keyboard = stream.keyboard if stream.steers else None
        session = PlaySession(stream, keyboard, window, stream.action_set, problem=lambda: stream.notice)
        session.run(options.seed, options.reset_options(None))
    finally:
        stream.close()


def _refuse_local_options(options: RolloutOptions) -> None:
    """Raise ValueError for options that would have no effect, and name them."""
    given = [field.name for field in fields(options) if getattr(options, field.name) != _default(field)]
    if unused := [f"--{name}" for name in given if name not in TAKEN]:
        raise ValueError(
            f"--connect plays the environment of the server, which has its own options: leave out {', '.join(unused)}"
        )


def _default(field: Field[Any]) -> Any:
    return field.default if field.default is not MISSING else None
