"""`infrope` for a first run against a file server on this machine: `first_run_client SETUP.json ARGUMENTS...`.

`::` separates several commands, which run until one fails.

The setup names the decoder's address and the facts about the served files. Small ones also give their sizes, which must
stand before the rest of the package is imported.
"""

import json
import sys
from pathlib import Path


def main() -> int:
    """Apply the setup and run `infrope`."""
    setup = json.loads(Path(sys.argv[1]).read_text())
    if "config" in setup:
        from infrope_env import config

        entries = {key: tuple(value) if isinstance(value, list) else value for key, value in setup["config"].items()}
        config.WAN_1_3B = config.ModelConfig(**entries)
    if "steps" in setup:
        from infrope_env import config

        config.Sampler.__init__.__defaults__ = (tuple(setup["steps"]), *config.Sampler.__init__.__defaults__[1:])
    if "chunk" in setup:
        from huggingface_hub import constants

        constants.DOWNLOAD_CHUNK_SIZE = setup["chunk"]
    from infrope_env import cli
    from infrope_env.models.wan import download as downloads
    from infrope_env.models.wan import pins, taehv_file

    pins.REVISIONS = setup["revisions"]
    pins.FILES = {(repo, name): pins.Pin(size, sha256) for repo, name, size, sha256 in setup["pins"]}
    taehv_file.TAEHV_URL = downloads.TAEHV_URL = setup["taehv"]
    commands = " ".join(sys.argv[2:]).split(" :: ")
    return next((code for code in (cli.main(command.split()) for command in commands) if code), 0)


if __name__ == "__main__":
    sys.exit(main())
