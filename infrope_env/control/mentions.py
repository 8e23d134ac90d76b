"""Which subject or scene a sentence speaks of, so that who types "a penguin" plays the penguin from then on.

Knows words only: no spelling, no grammar, no action sets.
"""

import re
from collections.abc import Iterable, Mapping

ARTICLES = ("a", "an", "the")


def first_mentioned(text: str, phrases: Mapping[str, Iterable[str]]) -> str | None:
    """Which name the text mentions first, or None.

    A phrase counts as whole words in any case; its leading article need not stand in the text. Of two that begin at
    the same word, the longer one counts: "city street" before "city".

    Args:
        text: a prompt.
        phrases: what each name is called.
    """
    words = _words(text)
    found = [
        (start, -len(phrase), name)
        for name, called in phrases.items()
        for phrase in map(_without_article, map(_words, called))
        for start in range(len(words))
        if phrase and words[start : start + len(phrase)] == phrase
    ]
    return min(found)[2] if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _without_article(words: list[str]) -> list[str]:
    return words[1:] if words and words[0] in ARTICLES else words
