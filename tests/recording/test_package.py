"""The short imports of the package."""

import subprocess
import sys
from types import FunctionType


def test_replay_and_verify_are_functions_whatever_was_imported_before() -> None:
    import infrope_env.recording.verification
    from infrope_env.recording import replay, verify

    assert isinstance(replay, FunctionType) and isinstance(verify, FunctionType)
    assert infrope_env.recording.verification.replay is replay


def test_importing_the_package_imports_no_torch_until_replay_is_used() -> None:
    loaded = "print('torch' in sys.modules)"
    code = f"import sys, infrope_env.recording as recording; {loaded}; recording.replay; {loaded}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
