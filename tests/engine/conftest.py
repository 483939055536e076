"""Fixtures of the tests with models."""

from __future__ import annotations

import pytest

from engine.data import benchmarks
from engine.data.benchmarks import DataSet


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """demo/dev, in a home that lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KID_HOME", str(tmp_path_factory.mktemp("home")))
        return benchmarks.load("demo/dev")
