"""Known facts of released files."""

import re

import pytest

from infrope_env.models.wan.catalog import CHECKPOINTS
from infrope_env.models.wan.parts import PARTS
from infrope_env.models.wan.pins import FILES, REVISIONS, Pin, pin_of, revision_of


@pytest.fixture(autouse=True)
def no_pins() -> None:
    """Keep the released ones."""


def test_a_known_file_has_its_length_and_its_digest() -> None:
    pin = pin_of("Wan-AI/Wan2.1-T2V-1.3B", "Wan2.1_VAE.pth")
    assert pin == Pin(507_609_880, "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981")
    assert revision_of("Wan-AI/Wan2.1-T2V-1.3B") == "37ec512624d61f7aa208f7ea8140a131f93afc9a"


def test_an_unknown_file_has_no_pin_and_an_unknown_repository_no_revision() -> None:
    assert pin_of("Wan-AI/Wan2.1-T2V-1.3B", "config.json") is None
    assert revision_of("SOTAMak1r/Infinite-Forcing") is None


def test_digests_are_those_of_a_pinned_revision() -> None:
    assert {repo for repo, _ in FILES} <= REVISIONS.keys()
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in REVISIONS.values())
    digests = [pin.sha256 for pin in FILES.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in digests) and len(set(digests)) == len(digests)


def test_every_part_and_every_known_row_is_spelled_as_in_its_pin() -> None:
    released = {(each.repo, file) for each in (*CHECKPOINTS, *PARTS) for file in each.files}
    assert {(repo, file) for repo, file in FILES if "++" not in file} <= released
