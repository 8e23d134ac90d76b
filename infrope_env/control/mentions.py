"""Search for the subject or scene that a typed prompt mentions: after "a penguin waves", actions move the penguin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeGuard

ARTICLES = ("a", "an", "the")


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a string that can be hashed and saved: half a surrogate pair cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_mentioned(text: str, phrases: Mapping[str, Iterable[str]]) -> str | None:
    """Return the name that a text mentions first, or None.

    A phrase matches whole words in any case, with or without its leading article. Of two phrases that begin at the
    same word the longer one wins: "city street" before "city".

    Args:
        text: A prompt.
        phrases: The phrases for each name.
    """
    words = _words(text)
    found = [
        (start, -len(phrase), name)
        for name, name_phrases in phrases.items()
        for phrase in map(_without_article, map(_words, name_phrases))
        for start in range(len(words))
        if phrase and words[start : start + len(phrase)] == phrase
    ]
    return min(found)[2] if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _without_article(words: list[str]) -> list[str]:
    return words[1:] if words and words[0] in ARTICLES else words
