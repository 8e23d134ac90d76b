"""The whole first run of Wan against a file server on this machine, as a user meets it.

    python -m tests.models.wan.first_run --size full --folder DIR  # 36 GB of disk, 16 GB of memory, an hour or more

Released files of random numbers are served as the hub and the decoder's project serve them. `infrope weights wan
--download` is killed in the middle of a file, its connection is dropped in another, and the same command continues. The
files are verified, one prompt is encoded, and three blocks are made. Wall time and peak memory of every command are
printed, the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.models.wan.local_hub import Content, LocalHub, length_of, serving, sha256_of

COMMIT = "c" * 40
GENERATOR, TEXT, TOKENIZER = "ema_model.pt", "models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json"
VAE, TAEHV = "Wan2.1_VAE.pth", "taew2_1.pth"
GENERATOR_REPO, WAN_REPO = "SOTAMak1r/Infinite-Forcing", "Wan-AI/Wan2.1-T2V-1.3B"
BLOCKS = 3
ONE_PROMPT = """
name = "one-prompt"
template = "A cinematic medium-wide shot of {subject}, {motion} in {scene}."
[subjects.knight]
text = "a tall medieval knight in weathered silver plate armour"
[scenes.forest]
text = "a misty pine forest at dawn"
key = "1"
[motions.stand]
text = "standing still"
"""


@dataclass
class Measured:
    """What one command took.

    Attributes:
        command: Its arguments.
        wall_s: Seconds.
        peak_gb: Largest resident memory, pages of mapped files included.
        code: Exit code; negative for a signal.
        output: Standard output.
        log: Standard error.
    """

    command: str
    wall_s: float
    peak_gb: float
    code: int
    output: str
    log: str


@dataclass
class FirstRun:
    """A hub with the released files, and a new user's empty folders.

    Attributes:
        folder: Folder of everything that is written.
        hub: The server.
        environment: Environment variables of the user.
        setup: What a client process is told about the server.
    """

    folder: Path
    hub: LocalHub
    environment: dict[str, str]
    setup: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `infrope` with arguments."""
        log = (self.folder / "log.txt").open("w")
        out = (self.folder / "output.txt").open("w")
        command = [sys.executable, "-m", "tests.models.wan.first_run_client", str(self.setup), *arguments]
        return subprocess.Popen(command, env=self.environment, stdout=out, stderr=log, text=True)

    def finish(self, process: subprocess.Popen[str], started: float, peak_gb: float = 0.0) -> Measured:
        """Wait for a command.

        Its memory is read while it runs: what the system reports at its end counts the process that started it, too.
        """
        while process.poll() is None:
            peak_gb = max(peak_gb, peak_memory_gb(process.pid))
            time.sleep(0.05)
        words = " ".join(process.args[4:])  # type: ignore[index]
        output, log = ((self.folder / name).read_text() for name in ("output.txt", "log.txt"))
        return Measured(words, time.monotonic() - started, peak_gb, process.returncode, output, log)

    def run(self, *arguments: str) -> Measured:
        """Run `infrope` with arguments to its end."""
        started = time.monotonic()
        return self.finish(self.start(*arguments), started)

    def run_killed(self, name: str, *arguments: str) -> Measured:
        """Run `infrope`, kill it without a chance to clean up when half of a file has arrived."""
        half = length_of(self.hub.files_of(WAN_REPO)[name]) // 2  # type: ignore[index]
        self.hub.holds[name] = half
        started = time.monotonic()
        process = self.start(*arguments)
        while self.hub.sent.get(name, 0) < half:
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break  # it ended before, and `finish` says how
            time.sleep(0.02)
        time.sleep(1.0)  # the last bytes arrive
        peak_gb = peak_memory_gb(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        return self.finish(process, started, peak_gb)

    def ranges(self) -> list[tuple[str, str | None]]:
        """Return file and range of every download that the server was asked for."""
        return [(name, span) for method, _, name, span in self.hub.requests if method == "GET" and "api/" not in name]


def peak_memory_gb(pid: int) -> float:
    """Return the largest resident memory of a process so far; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM")), 0.0)


@contextmanager
def served(folder: Path, released: Path, client: dict) -> Iterator[FirstRun]:
    """Serve a folder of released files to a new user, whose folders are below `folder`."""
    parts: dict[str, Content] = {name: released / name for name in (TEXT, TOKENIZER, VAE)}
    hub = LocalHub(GENERATOR_REPO, {GENERATOR: released / GENERATOR}, {"main": COMMIT})
    hub.more, hub.plain = {WAN_REPO: parts}, {TAEHV: released / TAEHV}
    sha256_of(released / GENERATOR)  # the server knows it before it is asked
    with serving(hub) as address:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {"HF_ENDPOINT": address, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
        environment |= {"INFROPE_CACHE": str(folder / "infrope"), "SDL_VIDEODRIVER": "dummy"}
        environment["PYTHONPATH"] = str(Path(__file__).parents[3])
        pins = [[WAN_REPO, name, length_of(path), sha256_of(path)] for name, path in parts.items()]
        setup = folder / "setup.json"
        setup.write_text(
            json.dumps(client | {"taehv": f"{address}/{TAEHV}", "pins": pins, "revisions": {WAN_REPO: COMMIT}})
        )
        (folder / "one_prompt.toml").write_text(ONE_PROMPT)
        yield FirstRun(folder, hub, environment, setup)


def download_interrupted(run: FirstRun) -> list[Measured]:
    """Download with a kill and a dropped connection, download again, and verify."""
    steps = [run.run_killed(TEXT, "weights", "wan", "--download")]
    print_step(steps[-1])
    drop_next(run)
    for arguments in (("wan", "--download"), ("wan", "--download"), ("infinite-forcing", "--verify")):
        steps.append(run.run("weights", *arguments))
        print_step(steps[-1])
    return steps


def download_dropped_and_play(run: FirstRun) -> Measured:
    """Continue a download, whose next connection is dropped too, then encode one prompt and make three blocks."""
    drop_next(run)
    return run.run("weights", "wan", "--download", "::", *play_arguments(run))


def drop_next(run: FirstRun) -> None:
    """Let the server drop the next connection after a quarter of the text encoder's file."""
    run.hub.breaks = [length_of(run.hub.more[WAN_REPO][TEXT]) // 4]


def play_arguments(run: FirstRun, *options: str) -> tuple[str, ...]:
    """Return the arguments that encode one prompt and make three blocks."""
    arguments = ("--headless", "--blocks", str(BLOCKS), "--seed", "7", "--record", str(run.folder / "rollouts"))
    prompt = ("--actions", str(run.folder / "one_prompt.toml"))
    return ("play", "--env", "infrope/Wan-v0", *arguments, *prompt, *options)


def print_step(step: Measured) -> None:
    """Print what a command took, and what it said."""
    print(f"{step.wall_s:8.1f} s {step.peak_gb:6.2f} GB  exit {step.code:3}  infrope {step.command}", flush=True)
    for line in step.output.splitlines():
        print(f"    {line}", flush=True)


def tiny_files(folder: Path) -> tuple[Path, dict]:
    """Write small released files; return their folder and what the client must know about their size."""
    from tests.models.wan.released_files import SMALL
    from tests.models.wan.wan_folder import write_wan_folder

    write_wan_folder(folder, original=True)
    config = replace(SMALL, text_len=512, latent_size=(4, 6))
    return folder.with_name(f"{folder.name}-original"), {"config": asdict(config), "chunk": 4096}


def main() -> None:
    """Run at the given size and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, nargs="+", help="denoising steps, default the generator's four")
    parser.add_argument("--stages", nargs="+", choices=("download", "play"), default=("download", "play"))
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if arguments.size == "tiny":
        released, client = tiny_files(folder / "released")
    else:
        from tests.models.wan.full_size_files import write_full_folder

        released, client = folder / "released", {}
        if not (released / TOKENIZER).is_file():
            write_full_folder(released)
    if arguments.steps:
        client["steps"] = arguments.steps
    print(f"{time.monotonic() - started:8.1f} s            files of random numbers written", flush=True)
    with served(folder, released, client) as run:
        print(f"{time.monotonic() - started:8.1f} s            digests known to the server", flush=True)
        steps = download_interrupted(run) if "download" in arguments.stages else []
        if "play" in arguments.stages:
            steps.append(run.run(*play_arguments(run, "--threads", str(arguments.threads))))
            print_step(steps[-1])
        print(json.dumps({"requests": run.ranges(), "sent_bytes": run.hub.sent, "steps": [_row(s) for s in steps]}))


def _row(step: Measured) -> dict:
    """Return the numbers of a step."""
    return {"command": step.command, "wall_s": round(step.wall_s, 1), "peak_gb": round(step.peak_gb, 2)}


if __name__ == "__main__":
    main()
