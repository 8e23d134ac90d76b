"""Options that subcommands of `infrope` share, and what they select: environment, controller, length of the rollout.

Each dataclass is a group of options; the string below a field is its help text. torch and gymnasium are imported on
use only, so that `infrope --help` is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from infrope_env.control.playable import PlayableEnv, playable
from infrope_env.sampler import MOST_STEPS
from infrope_env.window import ForgetRule, MemoryPolicy

if TYPE_CHECKING:
    import gymnasium

    from infrope_env.control.controller import Controller
    from infrope_env.player.headless import BlockCallback

GRAPHS = "graphs"  # value of the environment's argument `compile`
DEFAULT_BLOCKS = 20  # of a headless rollout that no other option ends
MOST_THREADS = 1024  # torch aborts the process where the system refuses it more
MACHINE_ARGUMENTS = ("weights", "lora", "device", "text_device", "text_dtype", "precision", "offload")


@dataclass(kw_only=True)
class MachineOptions:
    """Weights, and the machine that they run on."""

    weights: str | None = None
    """A bundled model or the path of a world folder; for Wan a released generator, its file, or a folder of parts."""
    lora: str | None = None
    """File or folder of a LoRA that is merged into Wan's generator."""
    device: str | None = None
    """cpu, cuda or cuda:1; by default the GPU where there is one."""
    text_device: str | None = None
    """Device of Wan's text encoder: auto, cpu, cuda, or refuse (cached prompts only)."""
    text_dtype: Literal["bfloat16", "int8", "float32"] | None = None
    """Precision of the weights of Wan's text encoder; bfloat16 is as released."""
    precision: Literal["float", "int8", "fp8"] | None = None
    """int8 computes a world folder's generator in 8-bit integers: faster on processors without bfloat16, with slightly
    other pixels. It needs the extra "int8". fp8 computes in 8-bit floats, on a GPU that has them."""
    offload: bool = False
    """Move Wan's generator and decoder to a small GPU in turns."""
    headless: bool = False
    """Use no display."""

    def env_arguments(self, *more: str) -> dict[str, Any]:
        """Return the environment's keyword arguments that were given, those named in `more` included."""
        values = {name: getattr(self, name) for name in (*MACHINE_ARGUMENTS, *more)}
        return {name: value for name, value in values.items() if value is not None and value is not False}


@dataclass(kw_only=True)
class EnvironmentOptions(MachineOptions):
    """Options of every subcommand that makes an environment."""

    env: str = "infrope/PocketWorld-v0"
    """Id of the environment."""
    actions: str | None = None
    """A bundled action set, or the path of a TOML file."""
    decoder: str | None = None
    """Wan's decoder: taew2_1 (fast) or wan_vae (exact)."""
    compile: bool = False
    """Compile the model before the first block: minutes the first time, faster blocks afterwards."""
    graphs: bool = False
    """On a GPU, compile the model and replay its passes as CUDA graphs."""
    window: int | None = None
    """Latent frames that attention spans: sink, context and block."""
    memory: MemoryPolicy | None = None
    """Policy for frames that have left the context: a sink (as a rule), or another, which divides the window anew."""
    forget: ForgetRule | None = None
    """When deep_sink, rolling_sink and ema lose their memory: never (as a rule), at cuts, or at every flush."""
    steps: str | None = None
    """Number of denoising steps, 1 to 4; fewer are faster. Or the steps themselves, such as 1000,500, with those of the
    first block before a slash: 1000,750,500,250/1000,500."""
    seed: int | None = None
    """Seed of the noise; drawn at random when omitted."""
    threads: int = 1
    """CPU threads of torch. One is enough for real time; two on busy cores are many times slower than one."""

    def env_arguments(self, *more: str) -> dict[str, Any]:
        """Return the environment's keyword arguments that were given; --graphs is a kind of --compile."""
        return super().env_arguments(*more) | ({"compile": GRAPHS} if self.graphs and "compile" in more else {})

    def make_env(self) -> gymnasium.Env[Any, Any]:
        """Set the number of threads and make the environment; ValueError when it is not an infrope environment."""
        import gymnasium
        import torch

        if not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"expected --threads to be at least 1 and at most {MOST_THREADS}, got {self.threads}")
        torch.set_num_threads(self.threads)  # the bytes of a rollout depend on it
        arguments = self.env_arguments("actions", "decoder", "compile")
        arguments |= window_argument(self.window, self.memory, self.forget) | steps_argument(self.steps)
        try:
            env = gymnasium.make(self.env, disable_env_checker=True, **arguments)
        except TypeError as error:
            raise ValueError(f"--env {self.env} does not take {', '.join(arguments)}: {error}") from error
        if not isinstance(env.unwrapped, PlayableEnv):
            raise ValueError(f"expected --env to be an environment such as infrope/PocketWorld-v0, got {self.env}")
        if env.observation_space.shape != env.unwrapped.block_shape:
            raise ValueError(f"expected --env to observe whole blocks, as infrope/PocketWorld-v0 does, got {self.env}")
        return env


def window_argument(size: int | None, memory: str | None, forget: str | None) -> dict[str, Any]:
    """Return the environment's argument for --window, --memory and --forget."""
    given = {"size": size, "memory": memory, "forget": forget}
    fields = {name: value for name, value in given.items() if value is not None}
    return {} if not fields else {"window": size if fields.keys() == {"size"} else fields}


def steps_argument(text: str | None) -> dict[str, int | str]:
    """Return the environment's argument for --steps: "2" is a number of steps, "1000" and "1000,500" are steps."""
    if text is None:
        return {}
    is_count = text.isdecimal() and len(text) < 4 and int(text) <= MOST_STEPS
    return {"steps": int(text)} if is_count else {"sampler": text}


@dataclass(kw_only=True)
class RolloutOptions(EnvironmentOptions):
    """Options of the subcommands that make a new rollout: its controller, its length and its start."""

    script: str | None = None
    """Actions to play, such as "walk_right*8 jump*2 cut_desert stand*4"."""
    storyboard: Path | None = None
    """A file of timed prompts, such as "a red robot waves hello in a desert[5s] | a red robot jumps ...[10s#]"."""
    line: int | None = None
    """Line of the storyboard's file to play, from 1; without it the whole file is one storyboard."""
    compat: Literal["release"] | None = None
    """Read the storyboard as the ∞-RoPE release does."""
    random: bool = False
    """Steer at random."""
    blocks: int | None = None
    """Number of blocks, the first included."""
    subject: str | None = None
    """Subject at the start, by its name in the action set."""
    scene: str | None = None
    """Scene at the start, by its name in the action set."""
    variation: str | None = None
    """Words that all prompts share, such as "in red light"; by default they are drawn from the seed, where the action
    set has any."""
    image: Path | None = None
    """Picture to start from, where the model has an encoder."""

    def check(self) -> None:
        """Raise ValueError for options that exclude each other or have no valid value, before anything is loaded."""
        steering = [name for name in ("script", "storyboard", "random") if getattr(self, name)]
        if len(steering) > 1:
            raise ValueError(f"give one of {' and '.join(f'--{name}' for name in steering)}, not both")
        if self.line is not None and self.storyboard is None:
            raise ValueError("--line chooses a line of a storyboard's file: give --storyboard too")
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"expected --blocks to be at least 1, got {self.blocks}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"expected --seed to be 0 or more, got {self.seed}")

    def controller(self, env: gymnasium.Env[Any, Any]) -> Controller | None:
        """Return the controller that the options name; None when they name none.

        A storyboard's prompts are encoded, and a recording of `env` is given its subtitles.
        """
        player = playable(env)
        if self.script is not None:
            from infrope_env.control.scripted import ScriptedController

            return ScriptedController.from_text(self.script, player.action_names)
        if self.storyboard is not None:
            from infrope_env.control.scripted import StoryboardController
            from infrope_env.recording.wrapper import find_recorder

            controller = StoryboardController.from_file(
                self.storyboard, player.set_prompt, player.action_names, self.compat, player.window.block, self.line
            )
            player.encode_prompts(controller.prompts)
            if recorder := find_recorder(env):
                recorder.subtitles = controller.storyboard.timed_subtitles(self.blocks)
            return controller
        if self.random:
            from infrope_env.control.random_walk import RandomWalkController

            return RandomWalkController(player.action_names, self.seed)
        return None

    def reset_options(self, controller: Controller | None) -> dict[str, Any]:
        """Return the options of the first reset."""
        given = {name: getattr(self, name) for name in ("subject", "scene", "variation", "image")}
        given["prompt"] = getattr(controller, "first_prompt", None)
        return {key: value for key, value in given.items() if value is not None}

    def total_blocks(self, controller: Controller | None) -> int | None:
        """Return --blocks, or else the length of the script or storyboard; None without either."""
        return self.blocks or getattr(controller, "total_blocks", None)

    def run_headless(self, env: gymnasium.Env[Any, Any], report: BlockCallback) -> int:
        """Make all blocks without a window, report each, print a summary and return the exit code."""
        from infrope_env.player.headless import drive, stand_still, summarize

        controller = self.controller(env)
        total = self.total_blocks(controller) or DEFAULT_BLOCKS
        blocks = []
        for made in drive(env, controller or stand_still, total, self.seed, self.reset_options(controller)):
            blocks.append(made)
            report(made, len(blocks), total)
        print(summarize(blocks))
        return 0
