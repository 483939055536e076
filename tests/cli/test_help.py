"""`kid` answers at once, and loads nothing that it does not need."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import profile, runs
from engine.run_writer import RunWriter

HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate", "textual"}
_RUN = """
import contextlib, io, json, sys
from kidtui import cli
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.run(command)
    assert code == 0 and out.getvalue(), (command, code)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(*commands: list[str]) -> set[str]:
    """The packages in sys.modules after these commands."""
    arguments = [sys.executable, "-c", _RUN, json.dumps(commands)]
    return set(json.loads(subprocess.run(arguments, capture_output=True, check=True).stdout))


def test_help_is_quick() -> None:
    """Promised are 0.4 s on an idle machine."""
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([Path(sys.executable).with_name("kid"), "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.8


def test_help_loads_little() -> None:
    assert loaded_by(["--help"]) & (HEAVY | {"pydantic", "sqlglot", "rich", "numpy", "psutil"}) == set()


def test_no_command_loads_a_model_library(project: Path) -> None:
    run = runs.create(profile.load("tiny"), ["kid"])
    with RunWriter(run) as writer:
        writer.event("step", step=1, loss=1.0)
        writer.finish("done")
    commands = [
        ["runs", "list"], ["runs", "show", run.id], ["runs", "logs", run.id],
        ["profiles", "list"], ["profiles", "show", "tiny"], ["profiles", "validate"], ["profiles", "schema"],
        ["profiles", "new", "mine", "--from", "tiny"],
        ["data", "list"], ["data", "check", "file:train.jsonl", "--databases", "databases"],
        ["doctor"],
    ]  # fmt: skip
    assert loaded_by(*commands) & HEAVY == set()


def test_every_module_of_the_front_end_is_light() -> None:
    code = (
        "import importlib, json, pkgutil, sys, kidtui\n"
        "for module in pkgutil.walk_packages(kidtui.__path__, 'kidtui.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "kidtui" in loaded
    assert loaded & (HEAVY - {"textual"}) == set()


@pytest.mark.parametrize("package", ["engine.sql", "engine.data"])
def test_sql_and_data_are_free_of_torch(package: str) -> None:
    code = (
        f"import importlib, json, pkgutil, sys, {package} as package\n"
        f"for module in pkgutil.walk_packages(package.__path__, '{package}.'):\n"
        "    importlib.import_module(module.name)\n"
        "import engine.profile_edit, engine.run_writer, engine.event_reader, engine.evaluation.score\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "sqlglot" in loaded or "sqlite3" in loaded
    assert loaded & (HEAVY | {"kidtui", "typer"}) == set()


def test_the_trainer_loads_nothing_of_the_front_end() -> None:
    code = (
        "import json, sys, engine.distill.job, engine.distill.plan\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "torch" in loaded
    assert loaded & {"kidtui", "textual", "typer"} == set()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from kidtui import cli

    assert cli.run(arguments) == 0
    shown = capsys.readouterr().out
    for command in ("distill", "runs", "profiles", "data", "doctor"):
        assert f"\n  {command} " in shown
    assert "130" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import metadata

    from kidtui import cli

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == metadata.version("kid-sql")


def test_terminal_that_knows_only_ascii(project: Path) -> None:
    command = [Path(sys.executable).with_name("kid"), "profiles", "list"]
    environment = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "KID_HOME": str(project)}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
