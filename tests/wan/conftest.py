from tests.checkpoints.conftest import hub_cache

__all__ = ["hub_cache"]  # every test here has empty caches
