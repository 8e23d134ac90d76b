"""The wheel: every asset, both packages, the command and the licence."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "infrope_env" / "assets"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build and open the wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_a_wheel_holds_every_asset(wheel: zipfile.ZipFile) -> None:
    assets = {path.relative_to(ROOT).as_posix() for path in ASSETS.rglob("*") if path.is_file()}
    assert "infrope_env/assets/actions/pocket.toml" in assets
    assert assets <= set(wheel.namelist())


def test_bundled_weights_are_complete(wheel: zipfile.ZipFile) -> None:
    weights = {Path(name).name for name in wheel.namelist() if name.startswith("infrope_env/assets/pocket/")}
    assert {"generator.safetensors", "text_encoder.safetensors", "decoder.safetensors", "card.json"} <= weights


def test_a_wheel_holds_both_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"infrope_env", "controllers"}


def test_a_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"infrope = infrope_env.cli:main" in wheel.read(entry_points)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
