"""The `infrope` command: play, serve, record, replay, export, fleet, bench, weights, doctor.

Bad input ends with one sentence on stderr and exit code 2. Each subcommand imports what it needs when it runs, so that
`infrope --help` imports no torch.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from infrope_env.cli_export import Export
from infrope_env.cli_fleet import Fleet
from infrope_env.cli_options import EnvironmentOptions, MachineOptions, RolloutOptions
from infrope_env.cli_serve import Serve
from infrope_env.control.actions import ActionSet
from infrope_env.control.playable import playable
from infrope_env.output import OutputError, lossy_output, readable_width, require_output
from infrope_env.player.bindings import format_bindings
from infrope_env.recording.quality import Quality

if TYPE_CHECKING:
    import gymnasium

    from infrope_env.player.headless import TimedBlock
    from infrope_env.wrappers import RecordRollout

BACKGROUND = "background"  # value of the environment's argument `compile`
BAD_INPUT = 2
INTERRUPTED, READER_GONE = 130, 141  # as a shell reports the signals SIGINT and SIGPIPE


@dataclass(kw_only=True)
class Play(RolloutOptions):
    """Play a world live, or watch a controller play it."""

    record: Path | None = None
    """Record every rollout in this folder."""
    quality: Quality | None = None
    """Pixels of the recorded videos: standard (4:2:0, for any player; the default), high (4:4:4) or lossless."""
    connect: str | None = None
    """URL that `infrope serve` printed: play its world in the window here."""
    token: str | None = None
    """Token of the server of --connect, if the URL has none."""
    background_compile: bool = False
    """On a CPU, compile the model while you play and go over to compiled code between two blocks, without a pause."""

    def env_arguments(self, *more: str) -> dict[str, Any]:
        """Return the environment's keyword arguments, with --background-compile among them."""
        arguments = super().env_arguments(*more)
        return arguments | ({"compile": BACKGROUND} if self.background_compile else {})

    def run(self) -> int:
        """Play in a window, or headless with one line per block; return the exit code."""
        self.check()
        if self.connect is not None:
            from infrope_env.cli_connect import play_remote

            play_remote(self.connect, self.token, self)
            return 0
        if self.token is not None:
            raise ValueError("--token is that of a server: give --connect too")
        for name in ("compile", "graphs"):
            if self.background_compile and getattr(self, name):
                raise ValueError(f"give one of --{name} and --background-compile, not both")
        _require_recording(self.quality, self.record, "--record")
        if not self.headless:
            from infrope_env.player.window import open_display

            open_display()  # raises where there is no display, before anything is loaded
        env = self.make_env()
        recorder: RecordRollout | None = None
        if self.record is not None:
            from infrope_env.wrappers import RecordRollout

            env = recorder = RecordRollout(env, self.record, self.quality or "standard")
        with contextlib.closing(env), _episodes_printed(recorder):
            if self.headless:
                self._run_headless(env)
            else:
                self._run_in_window(env, recorder)
        return 0

    def _run_headless(self, env: gymnasium.Env[Any, Any]) -> None:
        from infrope_env.player.headless import print_block

        def report(block: TimedBlock, count: int, total: int) -> None:
            print_block(block, count, total)
            if self.record is None:  # the lines are the only result: without readers there is nothing to go on for
                require_output()

        self.run_headless(env, report)

    def _run_in_window(self, env: gymnasium.Env[Any, Any], recorder: RecordRollout | None) -> None:
        from infrope_env.player.session import PlaySession, keyboard_for
        from infrope_env.player.window import DisplayWindow

        player, controller = playable(env), self.controller(env)
        height, width = player.block_shape[1:3]
        window = DisplayWindow((height, width), f"infrope: {self.env}")
        try:
            steering = controller or keyboard_for(player.action_set)
            problem = (lambda: None) if recorder is None else (lambda: recorder.problem)
            session = PlaySession.of_environment(env, steering, window, blocks=self.blocks, problem=problem)
            session.run(self.seed, self.reset_options(controller))
        finally:
            window.close()


@dataclass(kw_only=True)
class Record(RolloutOptions):
    """Record a rollout as a folder of episodes: a video, one line per block, and the facts that a replay needs."""

    out: Path
    """Folder of the recording."""
    quality: Quality = "standard"
    """Pixels of the videos: standard (4:2:0, for any player), high (4:4:4, sharper colours) or lossless."""
    attention: bool = False
    """Measure the attention mass of every frame that a block saw and keep it in the log; the pixels stay the same."""
    prompts: Path | None = None
    """Record a rollout of every prompt of this file, one on a line; prompts are no storyboards."""
    seeds: int | None = None
    """Number of rollouts of each prompt of --prompts, with seeds from --seed, or 0, on; by default 1."""
    seconds: float | None = None
    """Duration of the rollouts of --prompts, rounded down to whole blocks; by default 60."""

    def run(self) -> int:
        """Make and record all blocks, with progress on stderr; return the exit code."""
        if self.prompts is not None:
            from infrope_env.cli_batch import record_prompts

            self.check()
            if self.attention:
                raise ValueError("--prompts and --attention exclude each other")
            return record_prompts(self, self.prompts, self.seeds, self.seconds, self.out, self.quality)
        if self.seeds is not None or self.seconds is not None:
            raise ValueError("--seeds and --seconds belong to --prompts: give a file of prompts, or --blocks")
        from infrope_env.player.headless import print_progress
        from infrope_env.wrappers import RecordRollout

        self.check()
        made = RecordRollout(self.make_env(), self.out, self.quality, self.attention)
        with contextlib.closing(made) as recorder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a full disk is reported below, once
            with _episodes_printed(recorder):
                code = self.run_headless(recorder, print_progress)
        return code if recorder.problem is None else _complain(recorder.problem)


@dataclass(kw_only=True)
class Replay(MachineOptions):
    """Replay a recorded episode. Omitted options are as they were in the recording."""

    episode: tyro.conf.Positional[Path]
    """Folder of the episode, such as DIR/episode_000."""
    verify: bool = False
    """Compare every block with the recorded one: exit code 1 if one differs, 3 if they cannot be compared."""
    out: Path | None = None
    """Record the new rollout in this folder."""
    quality: Quality | None = None
    """Pixels of the videos in --out: standard, high or lossless."""
    threads: int | None = None
    """CPU threads of torch; by default as many as in the recording."""

    def run(self) -> int:
        """Replay, print the report and return the exit code, which is 0 without --verify."""
        from infrope_env.recording import replay

        _require_recording(self.quality, self.out, "--out")
        in_window = not self.headless and not self.verify
        if in_window:
            from infrope_env.player.window import open_display

            open_display()
        render_mode = "human" if in_window else None
        report = replay(
            self.episode,
            self.out,
            render_mode=render_mode,
            threads=self.threads,
            quality=self.quality,
            **self.env_arguments(),
        )
        print(report.summary())
        if self.verify:
            return report.exit_code
        if self.out is None:
            require_output()
        return 0


@dataclass(kw_only=True)
class Bench(EnvironmentOptions):
    """Measure the time of a block, by part, or the time from key to pixel."""

    blocks: int = 40
    """Number of timed blocks."""

    latency: bool = False
    """Measure the time from key to pixel in live play instead, with simulated key presses."""

    presses: int = 40
    """Number of key presses with --latency."""

    def run(self) -> int:
        """Measure, print a table and one line of JSON, and return the exit code."""
        from infrope_env.bench import bench, bench_latency

        env, seed = self.make_env(), self.seed or 0
        if self.latency:
            print(bench_latency(env, presses=self.presses, threads=self.threads, seed=seed))
        else:
            print(bench(env, blocks=self.blocks, threads=self.threads, seed=seed))
        require_output()
        return 0


@dataclass(kw_only=True)
class Weights:
    """List weights with their needs and check their files; download released generators."""

    name: tyro.conf.Positional[str | None] = None
    """A bundled model or a world folder, a released generator, a generator's file, or "wan"."""
    download: bool = False
    """Download a released generator from the Hugging Face hub."""
    convert: bool = False
    """Store the generator as safetensors in bfloat16, which loads faster and takes half the disk space."""
    verify: bool = False
    """Check every byte of the files."""
    revision: str | None = None
    """Commit to download, 40 hex digits; by default the one downloaded first."""
    encode: tuple[str, ...] | None = None
    """Encode the prompts of these action sets ahead of play; without a name, those of Wan."""

    def run(self) -> int:
        """Print a description of one model or, without a name, of all of them; return the exit code."""
        from infrope_env.models.wan.command import run_command

        for line in run_command(self.name, self.download, self.convert, self.verify, self.revision, self.encode):
            print(line, flush=True)
        require_output()
        return 0


@dataclass(kw_only=True)
class Doctor(RolloutOptions):
    """Check whether `play` with these options works on this machine, and what it downloads and computes first."""

    def run(self) -> int:
        """Print one line per finding; return 1 if play is impossible. Nothing is downloaded or loaded."""
        from infrope_env.doctor import examine, summarize
        from infrope_env.findings import Status

        findings = []
        arguments = self.env_arguments("actions", "decoder", "compile", "window")
        for finding in examine(self.env, arguments, self.headless):
            print(finding, flush=True)
            findings.append(finding)
        print(summarize(findings))
        return int(any(finding.status is Status.PROBLEM for finding in findings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `infrope` and return its exit code.

    Args:
        arguments: Arguments of the command; None means those of the process.
    """
    with lossy_output():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    """Parse the arguments and run the subcommand; return the exit code, after a sentence on stderr if it fails."""
    try:
        with _log_on_stderr():
            return _parse(arguments).run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputError as error:
        return READER_GONE if error.errno == errno.EPIPE else _complain(str(error.strerror))
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return _complain(str(error))
    except Exception as error:
        if type(error).__module__.startswith("gymnasium."):  # an unknown id, an unknown keyword argument
            return _complain(str(error))
        raise


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show the package's log messages from INFO on as lines on stderr, "infrope: ...", each once.

    Handlers of the root logger, which a host program may have, do not repeat them meanwhile.
    """
    logger = logging.getLogger("infrope_env")
    handler, level, propagate = logging.StreamHandler(), logger.level, logger.propagate
    handler.setFormatter(logging.Formatter("infrope: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _parse(
    arguments: Sequence[str] | None,
) -> Play | Serve | Record | Replay | Export | Fleet | Bench | Weights | Doctor:
    """Parse the arguments; a mistake raises ValueError with the first sentence of tyro's framed message."""
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), readable_width():
            return tyro.cli(
                _subcommands(),
                prog="infrope",
                description="Endless, controllable video worlds.",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:  # the help was printed
            require_output()
            raise
    lines = [line.strip("╭╮╰╯│─ ") for line in stderr.getvalue().splitlines()[1:]]
    sentence = " ".join(lines[: lines.index("")] if "" in lines else lines)
    raise ValueError(sentence.rstrip(":.") + ". See 'infrope --help'.")


def _subcommands() -> Any:
    """Return the union type of all subcommands; the help of `play` lists the keys of the bundled actions."""
    keys = format_bindings(ActionSet.load("pocket"))
    play_help = f"Play a world live, or watch a controller play it. Keys of the bundled actions:\n{keys}"
    subcommand = tyro.conf.subcommand
    return (
        Annotated[Play, subcommand("play", description=play_help)]
        | Annotated[Serve, subcommand("serve")]
        | Annotated[Record, subcommand("record")]
        | Annotated[Replay, subcommand("replay")]
        | Annotated[Export, subcommand("export")]
        | Annotated[Fleet, subcommand("fleet")]
        | Annotated[Bench, subcommand("bench")]
        | Annotated[Weights, subcommand("weights")]
        | Annotated[Doctor, subcommand("doctor")]
    )


def _require_recording(quality: Quality | None, folder: Path | None, option: str) -> None:
    if quality is not None and folder is None:
        raise ValueError(f"--quality is that of a recording: give {option} too")


def _complain(sentence: str) -> int:
    """Print an error as one line on stderr and return the exit code."""
    print(f"infrope: {' '.join(sentence.split())}", file=sys.stderr)
    return BAD_INPUT


@contextlib.contextmanager
def _episodes_printed(recorder: RecordRollout | None) -> Iterator[None]:
    """Close the last episode at the end, also after Ctrl-C or an error, and print a line for every recorded one.

    The numbers of episodes continue those of earlier recordings in the folder.
    """
    try:
        yield
    finally:
        if recorder is not None:
            recorder.finish()  # can fail, too; `recorder.problem` says so
            for folder in recorder.episodes:
                print(f"wrote {folder}")


if __name__ == "__main__":
    sys.exit(main())
