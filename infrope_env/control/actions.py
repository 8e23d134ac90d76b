"""Actions: the prompt that each one puts in force and the transition into the next block.

The state that a player steers is (subject, scene, motion). A TOML file, the action set, has its words and keys.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from infrope_env.control.action_files import (
    Defaults,
    Motion,
    Scene,
    Subject,
    find_action_file,
    read_defaults,
    read_motions,
    read_scenes,
    read_subjects,
    read_template,
    read_variations,
    to_toml_value,
)
from infrope_env.control.mentions import first_mentioned, is_text
from infrope_env.control.text_file import read_text
from infrope_env.control.toml_table import Table, chord, parse_toml
from infrope_env.errors import shown

VARIATION_STREAM = 7
"""Sets the random numbers of variations apart from others of the same seed."""


class Transition(enum.Enum):
    """The way in which a block follows the one before it."""

    START = "start"  # the first block
    CONTINUE = "continue"  # same prompt
    SWITCH = "switch"  # another prompt: KV Flush
    CUT = "cut"  # a new shot: KV Flush and RoPE Cut


@dataclass(frozen=True)
class Action:
    """One value of the action space. It sets a motion or cuts to a scene; the other field is None.

    Attributes:
        name: The motion's name, or "cut_" and the scene's name.
        motion: Motion that it sets.
        scene: Scene that it cuts to.
        keys: Its key bindings.
    """

    name: str
    motion: str | None
    scene: str | None
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Steering:
    """The state that a player steers, and the prompt that follows from it.

    Attributes:
        subject: Name of the subject in the action set.
        scene: Name of the scene in the action set.
        motion: Name of the motion in the action set.
        prompt: Text that conditions the generator; derived from names and variation unless `free_text`.
        free_text: The prompt was typed. It stays in force until an action changes the motion or cuts.
        variation: Words that all prompts of the rollout share which follow from the names.
    """

    subject: str
    scene: str
    motion: str
    prompt: str
    free_text: bool = False
    variation: str = ""


@dataclass(frozen=True)
class ActionSet:
    """Words and keys of a world, and the rules that turn actions into prompts and transitions.

    Attributes:
        name: Name of the set.
        template: Prompt with placeholders for the words of subject, scene and motion.
        subjects: Subjects by name.
        scenes: Scenes by name.
        motions: Motions by name.
        defaults: Names with which a rollout starts.
        variations: Lists of words; a rollout's variation has one of each list, drawn from its seed.
    """

    name: str
    template: str
    subjects: dict[str, Subject]
    scenes: dict[str, Scene]
    motions: dict[str, Motion]
    defaults: Defaults
    variations: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def load(cls, name_or_path: str | Path) -> ActionSet:
        """Read a bundled action set by name ("pocket"), or any TOML file by path.

        Raises:
            TypeError: It is neither a name nor a path.
            ValueError: There is no such set, or the file has a mistake; the message names file, table and key.
        """
        path = find_action_file(name_or_path)
        return cls.from_dict(parse_toml(read_text(path), path), source=str(path))

    @classmethod
    def from_dict(cls, data: Mapping[str, object], source: str = "action set") -> ActionSet:
        """Check a TOML structure and return its action set.

        Args:
            data: The structure, as `tomllib` or `to_dict` returns it.
            source: Start of every error message, for example the path of the file.

        Raises:
            ValueError: The structure has a mistake; the message names table and key.
        """
        top = Table(source, "", data)
        top.allow("name", "template", "variations", "start", "subjects", "scenes", "motions")
        subjects, scenes, motions = (top.table(key).filled() for key in ("subjects", "scenes", "motions"))
        action_set = cls(
            name=top.text("name"),
            template=read_template(top),
            subjects=read_subjects(subjects),
            scenes=read_scenes(scenes),
            motions=read_motions(motions),
            defaults=read_defaults(top),
            variations=read_variations(top),
        )
        _refuse_shared_names(action_set, source)
        _refuse_shared_keys(action_set, source)
        return action_set

    def to_dict(self) -> dict[str, object]:
        """Return the TOML structure; inverse of `from_dict`."""
        return {
            "name": self.name,
            "template": self.template,
            **({"variations": [list(words) for words in self.variations]} if self.variations else {}),
            "start": vars(self.defaults).copy(),
            "subjects": {name: to_toml_value(subject) for name, subject in self.subjects.items()},
            "scenes": {name: to_toml_value(scene) for name, scene in self.scenes.items()},
            "motions": {name: to_toml_value(motion) for name, motion in self.motions.items()},
        }

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """Every action: the motions in file order, then one cut per scene in file order."""
        motions = [Action(name, name, None, motion.keys) for name, motion in self.motions.items()]
        cuts = [
            Action(f"cut_{name}", None, name, (scene.key,) if scene.key else ()) for name, scene in self.scenes.items()
        ]
        return (*motions, *cuts)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every action, by index."""
        return tuple(action.name for action in self.actions)

    def index(self, name: str) -> int:
        """Return the index of the action with that name; ValueError lists the known names."""
        return self.names.index(_known("action", name, self.names))

    def keys_to_action(self) -> dict[tuple[str, ...], int]:
        """Return the action of every key binding: ("right",) or, for the chord "shift+right", ("shift", "right")."""
        return {chord(key): i for i, action in enumerate(self.actions) for key in action.keys}

    def prompt_for(self, subject: str, scene: str, motion: str, variation: str = "") -> str:
        """Return the prompt of three names and a variation; ValueError lists the known names."""
        subject_words = self.subjects[_known("subject", subject, self.subjects)]
        scene_words = self.scenes[_known("scene", scene, self.scenes)]
        prompt = self.template.format(
            subject=subject_words.text,
            subject_again=subject_words.again or subject_words.text,
            scene=scene_words.text,
            scene_again=scene_words.again or scene_words.text,
            motion=self.motions[_known("motion", motion, self.motions)].text,
            variation=variation,
        )
        return " ".join(prompt.split()) if self.variations else prompt

    def draw_variation(self, seed: int) -> str:
        """Return the variation of a rollout: one of each list's words, by its seed."""
        rng = np.random.default_rng(np.random.SeedSequence((VARIATION_STREAM, seed)))
        return " ".join(filter(None, (words[int(rng.integers(len(words)))] for words in self.variations)))

    def prompts(self, subject: str | None = None, variation: str = "") -> tuple[str, ...]:
        """Return every prompt that actions can lead to, each once.

        The prompts of the default subject and scene are the first, because they are needed first.

        Args:
            subject: Return the prompts of this subject only; None returns those of all subjects.
            variation: Variation of the prompts.
        """
        subjects = dict.fromkeys([self.defaults.subject, *self.subjects])
        chosen = subjects if subject is None else [_known("subject", subject, self.subjects)]
        scenes = dict.fromkeys([self.defaults.scene, *self.scenes])
        names = product(chosen, scenes, self.motions)
        return tuple(dict.fromkeys(self.prompt_for(*each, variation) for each in names))

    def prompts_nearest_first(self, steering: Steering) -> tuple[str, ...]:
        """Return every prompt that actions can lead to, each once: first those that one action leads to from here."""
        subject, variation = steering.subject, steering.variation
        motions = [self.prompt_for(subject, steering.scene, motion, variation) for motion in self.motions]
        scenes = [self.prompt_for(subject, scene, steering.motion, variation) for scene in self.scenes]
        later = (*self.prompts(subject, variation), *self.prompts(variation=variation))
        return tuple(dict.fromkeys((*motions, *scenes, *later)))

    def start(
        self,
        subject: str | None = None,
        scene: str | None = None,
        motion: str | None = None,
        prompt: str | None = None,
        variation: str | None = None,
        seed: int | None = None,
    ) -> Steering:
        """Return the steering of block 0.

        Args:
            subject: Name of the subject; None means that of `defaults`, as for `scene` and `motion`.
            scene: Name of the scene.
            motion: Name of the motion.
            prompt: Free text, which replaces the prompt of the three names.
            variation: Words that the prompts of the names share; None draws them from `seed`.
            seed: Seed of the rollout; without it, the default variation has no words.
        """
        if variation is None:
            variation = "" if seed is None else self.draw_variation(seed)
        given = {"subject": subject, "scene": scene, "motion": motion}
        names = vars(self.defaults) | {field: name for field, name in given.items() if name is not None}
        steering = self._steering(**names, variation=variation)
        return steering if prompt is None else self.set_prompt(steering, prompt)

    def steer(
        self, steering: Steering, action: int, *, shown_prompt: str | None = None, cut_requested: bool = False
    ) -> tuple[Steering, Transition]:
        """Apply one action and decide the transition into the block that it makes.

        The action of the motion in force changes nothing and so keeps free text. A cut into the scene in force is a new
        shot, too. The transition compares the prompt now in force with the prompt of the newest block.

        Args:
            steering: State and prompt in force; the newest block may have another prompt.
            action: Index of the action.
            shown_prompt: Prompt of the newest block; None means that of `steering`.
            cut_requested: Cut whatever the action is, because a prompt was set with a cut.

        Returns:
            steering: State and prompt in force from the next block on.
            transition: CUT, or CONTINUE for the shown prompt, or SWITCH for another one.

        Raises:
            ValueError: There is no such action.
        """
        if not isinstance(action, int | np.integer) or not 0 <= action < len(self.actions):
            raise ValueError(f"expected an action from 0 to {len(self.actions) - 1}, got {shown(action)}")
        newest = steering.prompt if shown_prompt is None else shown_prompt
        chosen = self.actions[action]
        if chosen.scene is not None:
            steering = self._steering(steering.subject, chosen.scene, steering.motion, steering.variation)
        elif chosen.motion is not None and chosen.motion != steering.motion:
            steering = self._steering(steering.subject, steering.scene, chosen.motion, steering.variation)
        if cut_requested or chosen.scene is not None:
            return steering, Transition.CUT
        return steering, Transition.CONTINUE if steering.prompt == newest else Transition.SWITCH

    def set_prompt(self, steering: Steering, text: str) -> Steering:
        """Return the steering with free text in force.

        A subject or scene that the text mentions becomes the current one. The motion in force stays, whatever the text
        says: after "a penguin waves", its action keeps the text.

        Raises:
            TypeError: `text` is no string.
        """
        if not is_text(text):
            raise TypeError(f"expected the prompt to be a text, got {shown(text)}")
        subject = first_mentioned(text, {name: _phrases(name, entry) for name, entry in self.subjects.items()})
        scene = first_mentioned(text, {name: _phrases(name, entry) for name, entry in self.scenes.items()})
        return replace(
            steering, subject=subject or steering.subject, scene=scene or steering.scene, prompt=text, free_text=True
        )

    def _steering(self, subject: str, scene: str, motion: str, variation: str) -> Steering:
        """Return the steering whose prompt is derived from names and variation."""
        prompt = self.prompt_for(subject, scene, motion, variation)
        return Steering(subject, scene, motion, prompt, variation=variation)


def _known(kind: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is among `names`; ValueError lists them otherwise."""
    known = list(names)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"expected {kind} to be one of {', '.join(known)}, got {shown(name)}")
    return name


def _phrases(name: str, entry: Subject | Scene) -> tuple[str, ...]:
    """Return every phrase by which a prompt may mention an entry."""
    return (name.replace("_", " "), entry.text, entry.again or entry.text, *entry.aliases)


def _refuse_shared_names(action_set: ActionSet, source: str) -> None:
    for scene in action_set.scenes:
        if (name := f"cut_{scene}") in action_set.motions:
            raise ValueError(f"{source}: [motions.{name}] and [scenes.{scene}] both make an action named {name!r}")


def _refuse_shared_keys(action_set: ActionSet, source: str) -> None:
    owners: dict[frozenset[str], str] = {}  # "a+b" and "b+a" are one chord
    for action in action_set.actions:
        table = f"[motions.{action.motion}] keys" if action.motion else f"[scenes.{action.scene}] key"
        for key in action.keys:
            keys = frozenset(chord(key))
            if keys in owners:
                raise ValueError(f"{source}: {table}: {key!r} is already bound by {owners[keys]}")
            owners[keys] = table
