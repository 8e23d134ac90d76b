"""A real server in a thread of the test's process, on a free port."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gymnasium

from infrope_env.remote import background
from infrope_env.remote.lobby import Capacity
from infrope_env.remote.server import PlayServer, ServerSettings

TOKEN = "a-token-of-tests"


def serving(make_env: Callable[[], gymnasium.Env[Any, Any]], **settings: Any) -> AbstractContextManager[PlayServer]:
    """Serve environments until the block ends."""
    chosen = {"port": 0, "token": TOKEN, "capacity": Capacity(players=2)} | settings
    return background.serving(make_env, ServerSettings(**chosen))
