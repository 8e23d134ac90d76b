"""The `infrope` command: play, record, replay, bench, weights.

Knows what can be asked and how to say what went wrong: one sentence on stderr and exit code 2. Everything heavy is
imported by the subcommand that needs it, so that help comes at once.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from infrope_env.control.actions import ActionSet
from infrope_env.player.bindings import as_text

if TYPE_CHECKING:
    import gymnasium

    from infrope_env.control.controller import Controller
    from infrope_env.player.headless import Report

DEFAULT_BLOCKS = 20  # of a headless run that nothing else ends
MACHINE_ARGUMENTS = ("weights", "device", "text_device", "text_dtype", "offload")
BAD_INPUT = 2
INTERRUPTED = 130


@dataclass(kw_only=True)
class Machine:
    """Which weights, and how the machine is used."""

    weights: str | None = None
    """A bundled world or the path of a world folder; for Wan a released generator, its file, or a folder of parts."""
    device: str | None = None
    """cpu, cuda, cuda:1."""
    text_device: str | None = None
    """Where Wan's text encoder runs: auto, cpu, cuda, or refuse."""
    text_dtype: Literal["bfloat16", "int8", "float32"] | None = None
    """Of Wan's text encoder; int8 takes 7 GB in place of 11."""
    offload: bool = False
    """Of Wan: generator and decoder take turns on a small GPU."""
    headless: bool = False
    """Use no display."""

    def given(self, *more: str) -> dict[str, Any]:
        """Arguments of the environment by name, without those that were left out: they are its own to choose."""
        values = {name: getattr(self, name) for name in (*MACHINE_ARGUMENTS, *more)}
        return {name: value for name, value in values.items() if value is not None and value is not False}


@dataclass(kw_only=True)
class World(Machine):
    """What every subcommand takes that makes a new rollout."""

    env: str = "infrope/PocketWorld-v0"
    """Id of the environment."""
    actions: str | None = None
    """A bundled action set, or the path of a TOML file."""
    decoder: str | None = None
    """Of Wan: taew2_1 (fast) or wan_vae (exact)."""
    compile: bool = False
    """Compile the network before the first block: minutes once, faster blocks ever after."""
    window: int | None = None
    """Latent frames that attention spans: sink, context and block."""
    seed: int | None = None
    """Of the noise; drawn when left out."""
    threads: int = 1
    """Of torch on the processor. One plays in real time; two on busy cores are many times slower than one."""

    def set_threads(self) -> None:
        """Bytes depend on the number of threads, so it is the same everywhere unless asked otherwise."""
        import torch

        if self.threads < 1:
            raise ValueError(f"expected --threads to be at least 1, got {self.threads}")
        torch.set_num_threads(self.threads)

    def make(self) -> gymnasium.Env[Any, Any]:
        """The environment."""
        import gymnasium

        self.set_threads()
        given = self.given("actions", "decoder", "compile", "window")
        try:
            env = gymnasium.make(self.env, disable_env_checker=True, **given)
        except TypeError as error:
            raise ValueError(f"--env {self.env} does not take {', '.join(given)}: {error}") from error
        if not hasattr(env.unwrapped, "action_set"):
            raise ValueError(f"expected --env to be a world such as infrope/PocketWorld-v0, got {self.env}")
        return env


@dataclass(kw_only=True)
class Steered(World):
    """What the subcommands that make a new rollout take: who steers, for how long, and where it starts."""

    script: str | None = None
    """Actions to play, such as "walk_right*8 jump*2 cut_desert stand*4"."""
    storyboard: Path | None = None
    """A file of timed prompts, such as "a red robot waves hello in a desert[5s] | a red robot jumps ...[10s#]"."""
    compat: Literal["release"] | None = None
    """Read the storyboard as the ∞-RoPE release does."""
    random: bool = False
    """Wander at random."""
    blocks: int | None = None
    """End after so many blocks, the first included."""
    subject: str | None = None
    """Who plays, by its name in the action set."""
    scene: str | None = None
    """Where it starts, by its name in the action set."""
    image: Path | None = None
    """A picture that it starts from, where the world has an encoder."""

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is loaded."""
        steering = [name for name in ("script", "storyboard", "random") if getattr(self, name)]
        if len(steering) > 1:
            raise ValueError(f"give one of {' and '.join(f'--{name}' for name in steering)}, not both")
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"expected --blocks to be at least 1, got {self.blocks}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"expected --seed to be 0 or more, got {self.seed}")

    def controller(self, env: gymnasium.Env[Any, Any]) -> Controller | None:
        """Who steers in place of the player; None when nobody does."""
        names = env.get_wrapper_attr("action_names")
        if self.script is not None:
            from controllers.scripted import ScriptedController

            return ScriptedController.from_text(self.script, names)
        if self.storyboard is not None:
            from controllers.scripted import StoryboardController

            set_prompt, block = env.get_wrapper_attr("set_prompt"), env.get_wrapper_attr("window").block
            director = StoryboardController.from_file(self.storyboard, set_prompt, names, self.compat, block)
            env.get_wrapper_attr("encode_prompts")(director.prompts)
            if env.has_wrapper_attr("subtitles"):
                env.set_wrapper_attr("subtitles", director.storyboard.timed_subtitles(self.blocks))
            return director
        if self.random:
            from controllers.random_walk import RandomWalkController

            return RandomWalkController(names, self.seed)
        return None

    def options(self, controller: Controller | None) -> dict[str, Any]:
        """Of the first reset."""
        given = {"subject": self.subject, "scene": self.scene, "image": self.image}
        given["prompt"] = getattr(controller, "first_prompt", None)
        return {key: value for key, value in given.items() if value is not None}

    def total_blocks(self, controller: Controller | None) -> int | None:
        """How many blocks to make: as asked, or as many as what was written down has; None has no end."""
        return self.blocks or getattr(controller, "total_blocks", None)

    def drive(self, env: gymnasium.Env[Any, Any], report: Report) -> int:
        """Make all blocks without a window, report each, and sum up."""
        from infrope_env.player.headless import drive, stand_still, summarize

        controller = self.controller(env)
        total = self.total_blocks(controller) or DEFAULT_BLOCKS
        blocks = []
        for made in drive(env, controller or stand_still, total, self.seed, self.options(controller)):
            blocks.append(made)
            report(made, len(blocks), total)
        print(summarize(blocks))
        return 0


@dataclass(kw_only=True)
class Play(Steered):
    """Play a world live, or watch it being steered."""

    record: Path | None = None
    """Keep every rollout in this folder."""

    def run(self) -> int:
        """Play in a window, or print a line per block."""
        self.check()
        if not self.headless:
            from infrope_env.player.window import open_display

            open_display()  # says that there is no display before anything is loaded
        with contextlib.closing(_recorded(self.make(), self.record)) as env:
            code = self._without_window(env) if self.headless else self._in_window(env)
            _say_what_was_kept(env)
            return code

    def _without_window(self, env: gymnasium.Env[Any, Any]) -> int:
        from infrope_env.player.headless import print_block

        return self.drive(env, print_block)

    def _in_window(self, env: gymnasium.Env[Any, Any]) -> int:
        from infrope_env.player.session import PlaySession, keyboard_for
        from infrope_env.player.window import DisplayWindow

        steers = self.controller(env)
        window = DisplayWindow(env.get_wrapper_attr("block_shape")[1:3], f"infrope: {self.env}")
        try:
            controller = steers or keyboard_for(env.get_wrapper_attr("action_set"))
            session = PlaySession(env, controller, window, blocks=self.total_blocks(steers))
            session.run(self.seed, self.options(steers))
        finally:
            window.close()
        return 0


@dataclass(kw_only=True)
class Record(Steered):
    """Keep a rollout as a folder of episodes: video, one line per block, and all it takes to make it again."""

    out: Path
    """The folder to write to."""

    def run(self) -> int:
        """Make the blocks and say how far it is, on stderr."""
        from infrope_env.player.headless import print_progress

        self.check()
        with contextlib.closing(_recorded(self.make(), self.out)) as env, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a full disk is told below, once
            code = self.drive(env, print_progress)
            env.get_wrapper_attr("finish")()  # writes the last frames, which can fail too
            _say_what_was_kept(env)
            problem: str | None = env.get_wrapper_attr("problem")
        return code if problem is None else _complain(problem)


@dataclass(kw_only=True)
class Replay(Machine):
    """Make a recorded episode again. What is left out is as it was recorded."""

    episode: tyro.conf.Positional[Path]
    """The episode's folder, DIR/episode_000."""
    verify: bool = False
    """Compare every block with the recorded one; exit code 1 when one differs, 3 when they cannot be compared."""
    out: Path | None = None
    """Keep the new rollout in this folder."""
    threads: int | None = None
    """Of torch on the processor."""

    def run(self) -> int:
        """Replay and report; without --verify a difference is told but is no failure."""
        from infrope_env.recording.replay import replay

        shown = not self.headless and not self.verify
        if shown:
            from infrope_env.player.window import open_display

            open_display()
        render_mode = "human" if shown else None
        report = replay(self.episode, self.out, render_mode=render_mode, threads=self.threads, **self.given())
        print(report.summary())
        return report.exit_code if self.verify else 0


@dataclass(kw_only=True)
class Bench(World):
    """Measure how long a block takes, and where the time goes."""

    blocks: int = 40
    """Blocks to time."""

    def run(self) -> int:
        """Measure and print a table, then one JSON line."""
        from infrope_env.bench import bench

        print(bench(self.make(), blocks=self.blocks, threads=self.threads, seed=self.seed or 0))
        return 0


@dataclass(kw_only=True)
class Weights:
    """Say what weights there are, what they need and whether they are whole; get released ones."""

    name: tyro.conf.Positional[str | None] = None
    """A bundled world or a world folder, a released generator, a generator's file, or "wan"."""
    download: bool = False
    """Get a released generator from the Hugging Face hub."""
    convert: bool = False
    """Keep it as safetensors in bfloat16, which loads faster and takes half the disk."""
    verify: bool = False
    """Check every byte of it."""
    revision: str | None = None
    """The commit to download, 40 hex digits; else the one taken the first time."""

    def run(self) -> int:
        """Describe a world or a generator; without a name, the bundled world and every generator."""
        from infrope_env.models.wan.command import run_command

        for line in run_command(self.name, self.download, self.convert, self.verify, self.revision):
            print(line)
        return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `infrope` with these arguments, by default the command line's; returns the exit code."""
    try:
        return _parse(arguments).run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return _complain(str(error))
    except Exception as error:
        if type(error).__module__.startswith("gymnasium."):  # an unknown id, an argument the environment lacks
            return _complain(str(error))
        raise


def _parse(arguments: Sequence[str] | None) -> Play | Record | Replay | Bench | Weights:
    """Read the arguments; tyro's framed page about a mistake becomes one sentence."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                _subcommands(),
                prog="infrope",
                description="Endless, controllable video worlds.",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
            )
    except SystemExit as stop:
        if stop.code:
            raise ValueError(_first_sentence(said.getvalue())) from None
        raise


def _subcommands() -> Any:
    keys = "Play a world live, or watch it being steered. Keys of the bundled actions:\n"
    keys += as_text(ActionSet.load("pocket"))
    subcommand = tyro.conf.subcommand
    return (
        Annotated[Play, subcommand("play", description=keys)]
        | Annotated[Record, subcommand("record")]
        | Annotated[Replay, subcommand("replay")]
        | Annotated[Bench, subcommand("bench")]
        | Annotated[Weights, subcommand("weights")]
    )


def _first_sentence(page: str) -> str:
    """The first paragraph inside tyro's frame."""
    lines = [line.strip("╭╮╰╯│─ ") for line in page.splitlines()[1:]]
    paragraph = lines[: lines.index("")] if "" in lines else lines
    return " ".join(paragraph).rstrip(":.") + ". See 'infrope --help'."


def _complain(sentence: str) -> int:
    print(f"infrope: {' '.join(sentence.split())}", file=sys.stderr)
    return BAD_INPUT


def _recorded(env: gymnasium.Env[Any, Any], folder: Path | None) -> gymnasium.Env[Any, Any]:
    if folder is None:
        return env
    from infrope_env.wrappers import RecordRollout

    return RecordRollout(env, folder)


def _say_what_was_kept(env: gymnasium.Env[Any, Any]) -> None:
    """A line for every episode: numbering goes on after those of earlier runs."""
    for folder in env.get_wrapper_attr("episodes") if env.has_wrapper_attr("episodes") else ():
        print(f"wrote {folder}")


if __name__ == "__main__":
    sys.exit(main())
