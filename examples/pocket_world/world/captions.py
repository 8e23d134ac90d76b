"""Captions of the pocket world: one canonical phrase per state, and a small grammar of paraphrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from examples.pocket_world.world.arrangement import ARRANGEMENTS, Arrangement

SUBJECT_TEXTS = {
    "robot": "a red robot",
    "frog": "a green frog",
    "fox": "an orange fox",
    "wizard": "a purple wizard",
    "penguin": "a blue penguin",
}
MOTION_TEXTS = {
    "stand": "stands still",
    "walk_left": "walks to the left",
    "walk_right": "walks to the right",
    "jump": "jumps up and down",
    "crouch": "crouches down",
    "wave": "waves hello",
}
SCENE_TEXTS = {
    "meadow": "a green meadow",
    "desert": "a sandy desert",
    "snow": "a snowy field",
    "city": "a city at night",
    "beach": "a sunny beach",
    "cave": "a dark cave",
}
SIZES = ("", "", "small", "little", "cute", "cheerful", "friendly")
COLOURS = {
    "robot": ("red", "red", "bright red", "red and yellow"),
    "frog": ("green", "green", "bright green"),
    "fox": ("orange", "orange", "bright orange", "orange and white"),
    "wizard": ("purple", "purple", "old purple", "bearded"),
    "penguin": ("blue", "blue", "blue and white"),
}
NOUNS = {
    "robot": ("robot", "robot", "robot", "android", "toy robot"),
    "frog": ("frog", "frog", "frog", "toad"),
    "fox": ("fox",),
    "wizard": ("wizard", "wizard", "wizard", "magician", "sorcerer"),
    "penguin": ("penguin",),
}
WALKS = ("walks {}", "is walking {}", "strolls {}", "heads {}", "goes {}", "moves {}", "wanders {}", "marches {}")
MOTIONS = {
    "stand": (
        "stands still",
        "is standing still",
        "stands",
        "is standing",
        "stays in place",
        "waits",
        "is waiting",
        "does not move",
        "rests",
    ),
    "jump": (
        "jumps up and down",
        "jumps",
        "is jumping",
        "is jumping up and down",
        "hops",
        "hops up and down",
        "leaps into the air",
        "bounces up and down",
        "keeps jumping",
    ),
    "crouch": (
        "crouches down",
        "crouches",
        "is crouching",
        "ducks",
        "ducks down",
        "squats down",
        "crouches low",
        "stays low",
    ),
    "wave": (
        "waves hello",
        "waves",
        "is waving",
        "is waving hello",
        "waves a hand",
        "waves at us",
        "says hello",
        "greets us with a wave",
    ),
}
SIDES = {"walk_left": ("to the left", "left"), "walk_right": ("to the right", "right")}
PLACES = {
    "meadow": (
        "in a green meadow",
        "in a meadow",
        "in the meadow",
        "in a sunny meadow",
        "on the green grass",
        "on a grassy field",
        "on a meadow with trees and flowers",
    ),
    "desert": (
        "in a sandy desert",
        "in a desert",
        "in the desert",
        "in a hot desert",
        "among the sand dunes",
        "in a dry desert with cacti",
    ),
    "snow": (
        "in a snowy field",
        "on a snowy field",
        "in the snow",
        "in deep snow",
        "on white snow",
        "in the snowy mountains",
        "in a winter landscape",
    ),
    "city": (
        "in a city at night",
        "in the city at night",
        "in the city",
        "on a city street",
        "on a city street at night",
        "downtown at night",
        "in the town at night",
    ),
    "beach": (
        "in a sunny beach",
        "on a sunny beach",
        "on the beach",
        "at the beach",
        "by the sea",
        "on a beach by the sea",
        "on a tropical beach with palms",
    ),
    "cave": (
        "in a dark cave",
        "in a cave",
        "in the cave",
        "inside a dark cave",
        "deep underground",
        "in a cave with crystals",
        "inside a rocky cavern",
    ),
}
CROSSINGS = {
    "meadow": ("across a green meadow", "across the meadow", "through the grass"),
    "desert": ("across a sandy desert", "across the desert", "through the desert"),
    "snow": ("across a snowy field", "across the snow", "through the snow"),
    "city": ("through a city at night", "through the city", "down a city street"),
    "beach": ("along a sunny beach", "along the beach", "along the sea"),
    "cave": ("through a dark cave", "through the cave", "along a dark cave"),
}
MOST_WORDS = 24
"""Most words of a caption, the rows of a prompt's embedding."""
ARTICLES = ("a", "a", "a", "the")
ORDERS = ("{subject} {motion} {place}", "{subject} {motion} {place}", "{place}, {subject} {motion}")


def caption(
    subject: str, scene: str, motion: str, rng: np.random.Generator | None = None, arrangement: str = ""
) -> str:
    """Describe a state in lower case, in at most `MOST_WORDS` words.

    Args:
        subject: Subject of the state.
        scene: Scene of the state.
        motion: Motion of the state.
        rng: Random generator of a paraphrase; None gives the phrase of the bundled action set.
        arrangement: Words of the arrangement, which follow the phrase.

    Returns:
        For example "an orange fox walks to the right in a snowy field" or, with `rng`, "across the snow, a little fox
        strolls right".
    """
    if rng is None:
        return f"{SUBJECT_TEXTS[subject]} {MOTION_TEXTS[motion]} in {SCENE_TEXTS[scene]} {arrangement}".strip()
    while True:
        text = f"{_paraphrase(subject, scene, motion, rng)} {arrangement}".strip()
        if len(text.split()) <= MOST_WORDS:
            return text


def _paraphrase(subject: str, scene: str, motion: str, rng: np.random.Generator) -> str:
    places = PLACES[scene] + (CROSSINGS[scene] if motion in SIDES else ())
    return _draw(rng, ORDERS).format(
        subject=_subject_phrase(subject, rng),
        motion=_draw(rng, _motion_phrases(motion)),
        place=_draw(rng, places),
    )


def _draw(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _subject_phrase(subject: str, rng: np.random.Generator) -> str:
    colour = _draw(rng, ("", *COLOURS[subject]))
    words = " ".join(filter(None, (_draw(rng, SIZES), colour, _draw(rng, NOUNS[subject]))))
    article = _draw(rng, ARTICLES)
    return f"{'an' if article == 'a' and words[0] in 'aeiou' else article} {words}"


def _motion_phrases(motion: str) -> tuple[str, ...]:
    if motion in SIDES:
        return tuple(walk.format(side) for walk in WALKS for side in SIDES[motion])
    return MOTIONS[motion]


def _all_phrases() -> Iterator[str]:
    """Yield every phrase that a caption can contain."""
    yield "a an the in"
    yield from (*SUBJECT_TEXTS.values(), *MOTION_TEXTS.values(), *SCENE_TEXTS.values(), *SIZES)
    for slots in (COLOURS, NOUNS, MOTIONS, PLACES, CROSSINGS):
        yield from chain.from_iterable(slots.values())
    yield from chain.from_iterable(_motion_phrases(motion) for motion in SIDES)


VOCABULARY: tuple[str, ...] = tuple(sorted({word for phrase in _all_phrases() for word in phrase.split()}))
"""All words of all captions that name no arrangement, sorted; without the comma."""
ARRANGEMENT_WORDS = tuple(
    sorted({word for number in range(ARRANGEMENTS) for word in Arrangement.numbered(number).words.split()})
)
"""All words by which captions name arrangements."""
