"""A small database, and sessions whose service has a model that is none."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import profile
from kidtui.repl.narration import Narration
from kidtui.repl.output import Output
from kidtui.repl.service import Service
from kidtui.repl.session import Session
from kidtui.repl.state import Settings

REPOSITORY = Path(__file__).parents[2]
FAKE_ENGINE = (sys.executable, str(REPOSITORY / "tests" / "fakes" / "fake_service.py"))
PROFILE = profile.from_values(
    {"name": "t", "student": {"model": "./s"}, "teacher": {"model": "./t"}, "method": {"name": "sft"}}
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "zoo.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE animal (name TEXT, born INTEGER)")
        connection.execute("INSERT INTO animal VALUES ('okapi', 2001), ('ibis', NULL)")
    connection.close()
    return path


@pytest.fixture
def open_session(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Session]]:
    """Makes sessions on the small database; they are closed in the end."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    made: list[Session] = []

    def make(**settings: object) -> Session:
        session = Session(
            str(database),
            Service(PROFILE, command=FAKE_ENGINE),
            Settings(**{"mode": "auto", **settings}),  # type: ignore[arg-type]
            Narration(live=False),
            Output(paged=False),
            student="a fake",
            data_dir=tmp_path / "data",
        )
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()
