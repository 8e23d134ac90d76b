import pytest

from infrope_env.control.mentions import first_mentioned

CALLED = {"fox": ["fox", "an orange fox"], "city": ["the city"], "moon": ["Moon"]}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A FOX, waving.", "fox"),
        ("the orange fox", "fox"),
        ("foxes and a firefox", None),
        ("on the moon with a fox", "moon"),
        ("a city street", "city"),
        ("", None),
    ],
)
def test_the_first_name_mentioned_is_found_in_whole_words(text: str, name: str | None) -> None:
    assert first_mentioned(text, CALLED) == name


def test_the_longer_of_two_phrases_that_begin_together_counts() -> None:
    called = {"town": ["city"], "road": ["city street"]}
    assert first_mentioned("a city street at night", called) == "road"
    assert first_mentioned("a city at night", called) == "town"


def test_a_phrase_that_is_an_article_or_empty_is_in_no_text() -> None:
    assert first_mentioned("a fox", {"nothing": ["a", "", "!"]}) is None
