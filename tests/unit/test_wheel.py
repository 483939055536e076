"""What ships: profiles and the demo are found from a built wheel, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """A wheel, built without a network and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def kid(unpacked: Path, *arguments: str, home: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "KID_HOME": str(home)}
    command = [sys.executable, "-P", "-c", "from kidtui.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=home, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_profiles_and_demo_travel(unpacked, tmp_path):
    listed = kid(unpacked, "profiles", "list", home=tmp_path)
    assert all(file.stem in listed for file in (REPOSITORY / "profiles").glob("*.toml"))
    sweeps = kid(unpacked, "sweep", "--list", home=tmp_path)
    assert all(file.stem in sweeps for file in (REPOSITORY / "profiles" / "sweeps").glob("*.toml"))
    shown = kid(unpacked, "profiles", "show", "demo", home=tmp_path)
    assert "keep_layers" in shown
    kid(unpacked, "data", "check", "demo/dev", home=tmp_path)
    teacher = unpacked / "engine" / "data" / "demo" / "teacher"
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {file.name for file in teacher.iterdir()}
