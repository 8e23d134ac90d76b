"""Plans: a TOML file that lists the episodes of a fleet, and the environment that they are made in.

Keys are options of `infrope record`. Everything that can be checked without a model is checked when a plan is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrope_env.cli_options import EnvironmentOptions, RolloutOptions
from infrope_env.control.actions import ActionSet
from infrope_env.control.length import check_length
from infrope_env.control.scripted import ScriptedController
from infrope_env.control.storyboard import blocks_in
from infrope_env.control.storyboard_file import read_storyboard
from infrope_env.control.text_file import read_text
from infrope_env.control.toml_table import Table, parse_toml
from infrope_env.errors import shown
from infrope_env.recording.batch import BatchRollout, read_prompts
from infrope_env.recording.quality import Quality, require_quality

ENVIRONMENT_FILES = ("weights", "lora", "actions", "decoder")
ENVIRONMENT_TEXTS = ("env", "steps", "device", "text_device", "text_dtype")
ENVIRONMENT_FLAGS = ("compile", "offload")
CONTROLLERS = ("script", "storyboard", "random", "prompts")
EPISODE_KEYS = (*CONTROLLERS, "seeds", "blocks", "seconds", "subject", "scene", "image", "line", "compat")
MOST_EPISODES = 1_000_000


@dataclass(frozen=True)
class EpisodeRequest:
    """An episode that a plan asks for.

    Attributes:
        name: Name of its folder: the entry's name and the seed, and for prompts the prompt's digest between them.
        options: Controller, seed and start.
        blocks: Number of blocks.
        prompt: The prompt of all its blocks; None under another controller.
        files: Sha256 of the files that it is made from, by option.
    """

    name: str
    options: RolloutOptions
    blocks: int
    prompt: str | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def controller(self) -> str:
        """The controller's name: a key of the plan, or "stand"."""
        given = [key for key in CONTROLLERS if getattr(self.options, key, None)]
        return "prompts" if self.prompt is not None else given[0] if given else "stand"

    def to_json(self) -> dict[str, Any]:
        """Return what the episode depends on, as plain JSON: files by their content, wherever they are."""
        steering = {
            key: self.files.get(key, getattr(self.options, key))
            for key in ("script", "storyboard", "line", "compat", "random", "seed", "subject", "scene", "image")
        }
        return {**steering, "prompt": self.prompt, "blocks": self.blocks}


@dataclass(frozen=True)
class Plan:
    """The content of a plan.

    Attributes:
        environment: The environment of every episode.
        quality: Quality of the videos.
        episodes: The episodes, in the plan's order.
        block: Latent frames per block.
        written: The entries of the plan's environment, as they are written there; an action file by its content.
    """

    environment: EnvironmentOptions
    quality: Quality
    episodes: tuple[EpisodeRequest, ...]
    block: int
    written: dict[str, Any]

    @property
    def wants_gpu(self) -> bool:
        """Whether workers use a GPU where there is one."""
        return self.environment.device is None or self.environment.device.startswith("cuda")

    def describe(self, episode: EpisodeRequest) -> dict[str, Any]:
        """Return what an episode of this plan depends on, as plain JSON. A different one is another episode."""
        return {"environment": self.written, "quality": self.quality, "episode": episode.to_json()}


@dataclass(frozen=True)
class World:
    """Facts of an environment that is not made yet.

    Attributes:
        actions: Its action set.
        block: Latent frames per block.
        is_small: Whether its model is a world folder, which runs on a core in real time.
    """

    actions: ActionSet
    block: int
    is_small: bool


def read_plan(path: Path) -> Plan:
    """Read a plan and every file that it names.

    Raises:
        ValueError: It has a mistake; the message begins with its path and names table and key.
    """
    top = Table(str(path), "", parse_toml(read_text(path), path))
    top.allow("quality", "environment", "episodes")
    table = top.table("environment") if "environment" in top.values else Table(top.source, "environment", {})
    environment, quality = _environment(table, path.parent), top.optional_text("quality") or "standard"
    try:
        quality = require_quality(quality)
        world = find_world(environment)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    entries = top.table("episodes").filled()
    episodes = tuple(request for name in entries.values for request in _entry(name, entries.table(name), path, world))
    if len(episodes) > MOST_EPISODES:
        raise ValueError(f"{path}: expected at most {MOST_EPISODES:,} episodes, got {len(episodes):,}")
    if world.is_small and environment.device is None:
        environment = dataclasses.replace(environment, device="cpu")
    return Plan(environment, quality, episodes, world.block, _written(environment, table))


def _written(environment: EnvironmentOptions, table: Table) -> dict[str, Any]:
    written = {"env": environment.env, **table.values}
    if environment.actions is not None and (file := Path(environment.actions)).is_file():
        written["actions"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return written


def find_world(environment: EnvironmentOptions) -> World:
    """Return the action set and block size of an environment without loading its weights.

    Raises:
        ValueError: There is no such environment, action set or model; the message is one sentence.
    """
    import gymnasium

    import infrope_env  # noqa: F401  registers the ids
    from infrope_env.config import Window
    from infrope_env.models.resolve import WorldFolder, resolve
    from infrope_env.models.world_folder import load_card

    try:
        given = gymnasium.spec(environment.env).kwargs
    except gymnasium.error.Error as error:
        raise ValueError(f"expected env to be an environment such as infrope/PocketWorld-v0: {error}") from error
    actions = ActionSet.load(environment.actions or given.get("actions", "pocket"))
    found = resolve(environment.weights or given.get("weights"))
    if isinstance(found, WorldFolder):
        return World(actions, load_card(found.path).window.block, is_small=True)
    return World(actions, Window().block, is_small=False)


def _environment(table: Table, folder: Path) -> EnvironmentOptions:
    """Return the options of [environment]; a path is relative to the plan's folder where there is such a file."""
    table.allow(*ENVIRONMENT_FILES, *ENVIRONMENT_TEXTS, *ENVIRONMENT_FLAGS, "window", "threads")
    given: dict[str, Any] = {key: table.optional_text(key) for key in ENVIRONMENT_TEXTS}
    given |= {key: table.flag(key) for key in ENVIRONMENT_FLAGS}
    given |= {key: table.count(key, least=1) for key in ("window", "threads")}
    for key in ENVIRONMENT_FILES:
        text = table.optional_text(key)
        beside = None if text is None else folder / text
        given[key] = str(beside.resolve()) if beside is not None and beside.exists() else text
    return EnvironmentOptions(**{key: value for key, value in given.items() if value is not None})


def _entry(name: str, table: Table, path: Path, world: World) -> Iterator[EpisodeRequest]:
    """Yield the episodes of one entry."""
    table.allow(*EPISODE_KEYS)
    given = [key for key in CONTROLLERS if table.values.get(key)]
    if len(given) > 1:
        raise table.mistake(given[1], f"expected one of {', '.join(CONTROLLERS)}, and {given[0]} is there")
    seeds = _seeds(table)
    options, files = _options(table, path.parent)
    try:
        options.check()
        own_blocks, prompts = _read_controller(options, table, path.parent, world)
    except ValueError as error:
        raise ValueError(f"{path}: [{table.name}] {error}") from error
    _require_names(table, world.actions)
    blocks = _blocks(table, own_blocks, world.block)
    for prompt in prompts:
        for seed in seeds:
            folder = f"{name}-{seed}" if prompt is None else f"{name}-{BatchRollout(prompt, seed).name}"
            yield EpisodeRequest(folder, dataclasses.replace(options, seed=seed, blocks=blocks), blocks, prompt, files)


def _options(table: Table, folder: Path) -> tuple[RolloutOptions, dict[str, str]]:
    """Return the options of an entry without its seeds and its length, and the digests of its files."""
    texts = {key: table.optional_text(key) for key in ("script", "compat", "subject", "scene")}
    files: dict[str, Path | None] = {
        key: (folder / text).resolve() if (text := table.optional_text(key)) is not None else None
        for key in ("storyboard", "image")
    }
    if texts["compat"] not in (None, "release"):
        raise table.mistake("compat", f'expected "release", got {shown(texts["compat"])}')
    digests = {}
    for key, file in files.items():
        if file is not None:
            try:
                digests[key] = hashlib.sha256(file.read_bytes()).hexdigest()
            except OSError as error:
                raise table.mistake(key, f"{file} cannot be read: {error.strerror}") from error
    more: dict[str, Any] = {**texts, **files, "line": table.count("line", least=1), "random": table.flag("random")}
    return RolloutOptions(**more), digests


def _read_controller(
    options: RolloutOptions, table: Table, folder: Path, world: World
) -> tuple[int | None, tuple[str | None, ...]]:
    """Return the controller's own number of blocks, if it has one, and the prompts of which each makes a rollout."""
    if options.script is not None:
        return ScriptedController.from_text(options.script, world.actions.names).total_blocks, (None,)
    if options.storyboard is not None:
        return read_storyboard(options.storyboard, options.compat, world.block, options.line).total_blocks, (None,)
    if (prompts := table.optional_text("prompts")) is not None:
        if excluded := [key for key in ("subject", "scene", "image") if key in table.values]:
            raise ValueError(f"prompts and {excluded[0]} exclude each other")
        return None, read_prompts(folder / prompts)
    return None, (None,)


def _seeds(table: Table) -> tuple[int, ...]:
    """Return the seeds of an entry: a number n stands for 0 to n - 1, a list for itself."""
    value = table.values.get("seeds", 1)
    if not isinstance(value, list):
        count = table.count("seeds", least=1)
        if count is not None and count > MOST_EPISODES:
            raise table.mistake("seeds", f"expected at most {MOST_EPISODES:,} seeds, got {count:,}")
        return tuple(range(1 if count is None else count))
    if not value or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in value):
        raise table.mistake("seeds", f"expected a number of seeds, or a list of whole numbers, got {shown(value)}")
    return tuple(dict.fromkeys(value))


def _blocks(table: Table, own: int | None, block: int) -> int:
    """Return the number of blocks of an entry's episodes: as given, or else those of the controller."""
    blocks, seconds = table.count("blocks", least=1), table.values.get("seconds")
    if blocks is not None and seconds is not None:
        raise table.mistake("seconds", "expected blocks or seconds, not both")
    if seconds is not None:
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= 1e6:
            raise table.mistake("seconds", f"expected more than 0 and at most 1,000,000, got {shown(seconds)}")
        blocks = blocks_in(seconds, block)
    found = blocks or own
    if found is None:
        raise table.mistake("blocks", "expected a length in blocks, or in seconds, but both are missing")
    return check_length(found, f"{table.source}: [{table.name}]")


def _require_names(table: Table, actions: ActionSet) -> None:
    for key, known in (("subject", actions.subjects), ("scene", actions.scenes)):
        if (name := table.optional_text(key)) is not None and name not in known:
            raise table.mistake(key, f"expected one of {', '.join(known)}, got {shown(name)}")
