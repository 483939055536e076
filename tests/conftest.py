"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import reads it: no test asks a network

_GIVEN_DATA_DIR = os.environ.get("KID_DATA_DIR")
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with Spider and BIRD in the official layout (not shipped)."""
    folder = Path(_GIVEN_DATA_DIR or REPOSITORY.parent / "shared" / "data")
    if not (folder / "spider" / "dev.json").is_file():
        pytest.skip("needs Spider: set KID_DATA_DIR to a folder that holds spider/dev.json")
    return folder


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A run that is trained in the test's own process takes the signals over: they are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the user's own runs, profiles or caches, nor finds data sets unasked."""
    monkeypatch.delenv("KID_DATA_DIR", raising=False)
    monkeypatch.setenv("KID_HOME", str(tmp_path / "kid-home"))
