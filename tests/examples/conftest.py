from __future__ import annotations

import pytest

from examples.ablations.features import FeatureExtractor, feature_extractor
from tests.tiny_world import tiny_world


@pytest.fixture(scope="session")
def extractor() -> FeatureExtractor:
    return feature_extractor()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A world folder with random weights, at the pocket model's frame size."""
    return str(tiny_world(tmp_path_factory.mktemp("worlds") / "large", latent_size=(12, 20)))
