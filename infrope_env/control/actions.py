"""What an action means: the prompt it puts in force and the transition into it.

A player steers (subject, scene, motion). The words for them, and the keys, come from a TOML file, the action set.
Knows nothing of embeddings, frames or windows, and imports no tensor library.
"""

import enum
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from infrope_env.control.mentions import first_mentioned
from infrope_env.control.toml_table import Table, chord

BUNDLED = Path(__file__).parent.parent / "assets" / "actions"
PLACES = ("subject", "scene", "motion")
PLACEHOLDERS = (*PLACES, "subject_again", "scene_again")
"""What a template may name; the last two are for the second mention, "the knight" after a line about the armour."""


class Transition(enum.Enum):
    """How a block follows the one before it."""

    START = "start"  # the first block
    CONTINUE = "continue"  # same prompt
    SWITCH = "switch"  # another prompt: KV Flush
    CUT = "cut"  # a new shot: KV Flush and RoPE Cut


@dataclass(frozen=True)
class Subject:
    """Who plays: its words, those of a second mention when they are others, and what else a typed prompt may say."""

    text: str
    again: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A place: its words, the key that cuts to it, and `again` and `aliases` as for a subject."""

    text: str
    key: str | None = None
    again: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Motion:
    """Something the subject does: its words, and the keys that ask for it ("shift+right" is a chord)."""

    text: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """One value of the action space: it sets a motion, or cuts to a scene; the other of the two is None."""

    name: str
    motion: str | None
    scene: str | None
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Steering:
    """What the player has asked for, and the prompt in force.

    Attributes:
        subject: name in the action set, like scene and motion.
        prompt: what the generator reads; follows from the three names unless `free_text`.
        free_text: the prompt was set by hand and holds until an action changes motion or scene.
    """

    subject: str
    scene: str
    motion: str
    prompt: str
    free_text: bool = False


@dataclass(frozen=True)
class Defaults:
    """Where a rollout starts when nothing else is asked for."""

    subject: str
    scene: str
    motion: str


@dataclass(frozen=True)
class ActionSet:
    """The words and keys of a world, and the rules by which actions turn into prompts."""

    name: str
    template: str
    subjects: dict[str, Subject]
    scenes: dict[str, Scene]
    motions: dict[str, Motion]
    defaults: Defaults

    @classmethod
    def load(cls, name_or_path: str | Path) -> "ActionSet":
        """Read a bundled action set by name ("pocket"), or any TOML file by path.

        Raises:
            ValueError: no such set, or the file has a mistake; the sentence names file, table and key.
        """
        path = _find(name_or_path)
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")), source=str(path))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not valid TOML: {error}") from error
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}. Pass the path of a TOML file.") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, object], source: str = "action set") -> "ActionSet":
        """Check the TOML structure and make an action set of it; `source` begins every error.

        Raises:
            ValueError: the structure has a mistake; the sentence names table and key.
        """
        top = Table(source, "", data)
        top.allow("name", "template", "start", "subjects", "scenes", "motions")
        subjects, scenes, motions = (top.table(key).filled() for key in ("subjects", "scenes", "motions"))
        action_set = cls(
            name=top.text("name"),
            template=_template(top),
            subjects={name: _subject(subjects, name) for name in subjects.values},
            scenes={name: _scene(scenes.table(name)) for name in scenes.values},
            motions={name: _motion(motions.table(name)) for name in motions.values},
            defaults=_defaults(top),
        )
        _refuse_shared_names(action_set, source)
        _refuse_shared_keys(action_set, source)
        return action_set

    def to_dict(self) -> dict[str, object]:
        """The TOML structure again; `from_dict` gives back an equal action set."""
        return {
            "name": self.name,
            "template": self.template,
            "start": vars(self.defaults).copy(),
            "subjects": {name: _plain(s) for name, s in self.subjects.items()},
            "scenes": {name: _entries(s) for name, s in self.scenes.items()},
            "motions": {name: {"text": m.text, "keys": list(m.keys)} for name, m in self.motions.items()},
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
        """The name of every action, by index."""
        return tuple(action.name for action in self.actions)

    def index(self, name: str) -> int:
        """The action of that name; ValueError lists the known names."""
        return self.names.index(_known("action", name, self.names))

    def keys_to_action(self) -> dict[tuple[str, ...], int]:
        """Every key binding: ("right",) or, for the chord "shift+right", ("shift", "right")."""
        return {chord(key): i for i, action in enumerate(self.actions) for key in action.keys}

    def prompt_for(self, subject: str, scene: str, motion: str) -> str:
        """The prompt that follows from three names; ValueError lists the known ones."""
        who = self.subjects[_known("subject", subject, self.subjects)]
        where = self.scenes[_known("scene", scene, self.scenes)]
        return self.template.format(
            subject=who.text,
            subject_again=who.again or who.text,
            scene=where.text,
            scene_again=where.again or where.text,
            motion=self.motions[_known("motion", motion, self.motions)].text,
        )

    def prompts(self, subject: str | None = None) -> tuple[str, ...]:
        """Every prompt that actions can lead to, each once: those of one subject, or of all.

        Those of the start come first, so that who encodes them ahead begins with what is needed.
        """
        everyone = dict.fromkeys([self.defaults.subject, *self.subjects])
        subjects = everyone if subject is None else [_known("subject", subject, self.subjects)]
        scenes = dict.fromkeys([self.defaults.scene, *self.scenes])
        return tuple(dict.fromkeys(self.prompt_for(*names) for names in product(subjects, scenes, self.motions)))

    def start(
        self, subject: str | None = None, scene: str | None = None, motion: str | None = None, prompt: str | None = None
    ) -> Steering:
        """What is in force at block 0; what is omitted comes from `defaults`, and a prompt wins over the three."""
        subject, scene, motion = (
            getattr(self.defaults, place) if name is None else name
            for place, name in zip(PLACES, (subject, scene, motion), strict=True)
        )
        steering = self._derive(subject, scene, motion)
        return steering if prompt is None else self.set_prompt(steering, prompt)[0]

    def steer(self, steering: Steering, action: int) -> tuple[Steering, Transition]:
        """Apply one action.

        The motion one is already in changes nothing, free text included. A cut is a new shot even into the same scene.

        Raises:
            ValueError: no such action.
        """
        if not 0 <= action < len(self.actions):
            raise ValueError(f"expected an action from 0 to {len(self.actions) - 1}, got {action}")
        chosen = self.actions[action]
        if chosen.scene is not None:
            return self._derive(steering.subject, chosen.scene, steering.motion), Transition.CUT
        if chosen.motion is None or chosen.motion == steering.motion:
            return steering, Transition.CONTINUE
        steered = self._derive(steering.subject, steering.scene, chosen.motion)
        return steered, _follow(steering, steered)

    def set_prompt(self, steering: Steering, text: str, cut: bool = False) -> tuple[Steering, Transition]:
        """Put free text in force; a subject or scene that it mentions becomes the one that actions go on from.

        The motion stays: who types "a penguin waves" and then asks for the motion she was in keeps her prompt.
        """
        subject = first_mentioned(text, {name: _called(name, s) for name, s in self.subjects.items()})
        scene = first_mentioned(text, {name: _called(name, s) for name, s in self.scenes.items()})
        names = {"subject": subject or steering.subject, "scene": scene or steering.scene}
        steered = replace(steering, **names, prompt=text, free_text=True)
        return steered, Transition.CUT if cut else _follow(steering, steered)

    def _derive(self, subject: str, scene: str, motion: str) -> Steering:
        return Steering(subject, scene, motion, self.prompt_for(subject, scene, motion))


def _follow(before: Steering, after: Steering) -> Transition:
    return Transition.CONTINUE if after.prompt == before.prompt else Transition.SWITCH


def _known(what: str, name: str, names: Iterable[str]) -> str:
    known = list(names)
    if name not in known:
        raise ValueError(f"expected {what} to be one of {', '.join(known)}, got {name!r}")
    return name


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.name != str(name_or_path):
        return path
    bundled = sorted(file.stem for file in BUNDLED.glob("*.toml"))
    if str(name_or_path) not in bundled:
        known = ", ".join(bundled)
        raise ValueError(f"No action set named {name_or_path!r}; bundled: {known}. Or pass the path of a .toml file.")
    return BUNDLED / f"{name_or_path}.toml"


def _called(name: str, entry: Subject | Scene) -> tuple[str, ...]:
    """Everything that a prompt may call it by."""
    return (name.replace("_", " "), entry.text, entry.again or entry.text, *entry.aliases)


def _plain(subject: Subject) -> str | dict[str, object]:
    return subject.text if subject == Subject(subject.text) else _entries(subject)


def _entries(entry: Subject | Scene) -> dict[str, object]:
    """What is said of it, as TOML has it."""
    said = {key: value for key, value in vars(entry).items() if value}
    return said | {"aliases": list(entry.aliases)} if entry.aliases else said


def _template(top: Table) -> str:
    template = top.text("template")
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise top.mistake("template", f"{error} in {template!r}") from error
    for _, field, spec, conversion in pieces:
        if field is not None and (field not in PLACEHOLDERS or spec or conversion):
            allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise top.mistake("template", f"unknown placeholder {{{field}}}, expected {allowed} only")
    return template


def _subject(subjects: Table, name: str) -> Subject:
    """Words alone, or a table of them."""
    if not isinstance(subjects.values[name], Mapping):
        return Subject(subjects.text(name))
    table = subjects.table(name)
    table.allow("text", "again", "aliases")
    return Subject(table.text("text"), _again(table), table.texts("aliases"))


def _scene(table: Table) -> Scene:
    table.allow("text", "key", "again", "aliases")
    key = table.binding("key", table.text("key")) if "key" in table.values else None
    return Scene(table.text("text"), key, _again(table), table.texts("aliases"))


def _again(table: Table) -> str | None:
    return table.text("again") if "again" in table.values else None


def _motion(table: Table) -> Motion:
    table.allow("text", "keys")
    return Motion(table.text("text"), table.keys("keys"))


def _defaults(top: Table) -> Defaults:
    table = top.table("start") if "start" in top.values else Table(top.source, "start", {})
    table.allow(*PLACES)
    return Defaults(*(_default(table, place, top.table(f"{place}s")) for place in PLACES))


def _default(table: Table, place: str, entries: Table) -> str:
    if place not in table.values:
        return next(iter(entries.values))
    name = table.text(place)
    if name not in entries.values:
        raise table.mistake(place, f"expected one of {', '.join(entries.values)}, got {name!r}")
    return name


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
