"""Corrections are kept whole, read strictly, and the last word on a question is what is learnt."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine import files, paths, runs
from engine.data import benchmarks
from engine.data.corrections import Correction, add, asked_for, examples, extended, read
from engine.errors import DatabaseError, DataError, KidError
from engine.settings import Data
from kidtui import cli

LINE = {"database": "demo/music", "question": "How many?", "query": "SELECT 1", "kind": "fix"}


def made(kind: Any = "fix", query: str = "SELECT 1", **changes: Any) -> Correction:
    return Correction(**{**LINE, "kind": kind, "query": query, **changes})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "corrections.jsonl"


def write(file: Path, *lines: dict[str, Any]) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def database(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pet (nm TEXT)")
    return path


def test_what_is_added_is_read_again_in_its_order() -> None:
    first = made(was="SELECT 2", evidence="e", model="m", question="Wie viele\n„äöü“?")
    second = made("bad", time=5.0)
    file = add(first)
    assert file == paths.corrections_file()
    assert add(second) == file
    assert read(file) == [first, second]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == 2


def test_a_last_line_without_a_line_feed_stays_a_line_of_its_own(file: Path) -> None:
    file.write_text(json.dumps(LINE))
    add(made("good"), file)
    assert [correction.kind for correction in read(file)] == ["fix", "good"]


def test_several_processes_add_at_once(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.data.corrections import Correction, add\n"
        "_, file, name = sys.argv\n"
        "for i in range(40):\n"
        "    add(Correction('demo/music', f'{name} {i}', 'SELECT 1' + ' ' * 9000, 'fix'), Path(file))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in "abc"]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    found = [correction.question for correction in read(file)]
    assert sorted(found) == sorted(f"{name} {i}" for name in "abc" for i in range(40))


def test_a_full_disk_leaves_no_half_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(made(), file)
    before = file.read_bytes()

    def write_half(handle: int, content: bytes) -> None:
        os.write(handle, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_all", write_half)
    with pytest.raises(KidError, match="the disk is full"):
        add(made(), file)
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(KidError, match="cannot write"):
        add(made(), tmp_path / "taken" / "corrections.jsonl")


WRONG = [
    ({"question": "  "}, "question is not a text, or empty"),
    ({"database": ""}, "database is not a text, or empty"),
    ({"query": " ; -- nothing"}, "query has no SQL"),
    ({"question": "\ud800"}, "question is not valid Unicode"),
    ({"was": None}, "was is not a text"),
    ({"kind": "best"}, "kind is none of fix, good, bad"),
    ({"time": "now"}, "time is not a number"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_correction_is_neither_kept_nor_read(
    file: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        add(made(**changes), file)
    assert not file.exists()
    write(file, LINE, {**LINE, **changes})
    with pytest.raises(DataError) as caught:
        read(file)
    assert caught.value.message.startswith(f"{file}, line 2: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"database": "demo/mus', "line 1: not JSON"),
        ("{}", "line 1: no database"),
        ("[1]\n", "item 0: not an object"),
        ('\n"a"\n', "line 2: not an object"),
    ],
)
def test_a_malformed_file(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=f"^{file}, {message}"):
        read(file)


def test_unknown_keys_and_missing_ones_do_not_matter(file: Path) -> None:
    assert read(write(file, {**LINE, "colour": "red"})) == [made(time=0.0)]


@pytest.mark.parametrize(
    ("said", "learnt"),
    [
        ([("fix", "SELECT 1;")], ["SELECT 1"]),
        ([("good", "SELECT\n 1")], ["SELECT 1"]),
        ([("bad", "SELECT 1")], []),
        ([("fix", "SELECT 1"), ("fix", "SELECT 2")], ["SELECT 2"]),
        ([("good", "SELECT 1"), ("fix", "SELECT 2")], ["SELECT 2"]),
        ([("bad", "SELECT 1"), ("good", "SELECT 1")], ["SELECT 1"]),
        ([("good", "SELECT 1"), ("bad", "SELECT  1 ;")], []),
        ([("fix", "SELECT 1"), ("bad", "SELECT 2")], ["SELECT 1"]),
    ],
)
def test_the_last_word_on_a_question_counts(
    file: Path, said: list[tuple[str, str]], learnt: list[str]
) -> None:
    pets = str(database(file.with_name("pets.sqlite")))
    for kind, query in said:
        add(made(kind, query, database=pets), file)
    assert [example.query for example in examples(file)] == learnt


def test_one_question_on_two_databases_is_two_and_one_database_has_two_names(file: Path) -> None:
    music = benchmarks.find_database("demo/music")
    other = next(path for path in sorted(music.parent.parent.glob("*/*.sqlite")) if path != music)
    add(made(query="SELECT 1", evidence="e"), file)
    add(made(query="SELECT 2", database=str(other)), file)
    add(made(query="SELECT 3", database=str(music), question="How  many?\n"), file)
    found = examples(file, start=7)
    assert [(e.index, e.database, e.query) for e in found] == [(7, music, "SELECT 3"), (8, other, "SELECT 2")]


@pytest.mark.parametrize("name", ["demo/nowhere", "/nowhere/x.sqlite"])
def test_a_missing_database_names_file_and_line(file: Path, name: str) -> None:
    write(file, LINE, {**LINE, "database": name})
    with pytest.raises(DatabaseError) as caught:
        examples(file)
    assert caught.value.message.startswith(f"{file}, line 2: ")
    assert name.rpartition("/")[2] in caught.value.message


def test_a_set_is_extended_with_the_words_of_the_corrections_databases(tmp_path: Path, file: Path) -> None:
    release = tmp_path / "release"
    pets = database(release / "database" / "music" / "music.sqlite")  # the name of a demo's, too
    tables = release / "tables.json"
    tables.write_text('[{"db_id": "music", "words": "own"}]')
    data = benchmarks.load("demo/train")
    add(made(database=str(pets), evidence="e"), file)

    def whole() -> benchmarks.DataSet:
        return extended(data, examples(file, start=len(data.examples)))

    first = whole()
    assert first.examples[:-1] == data.examples
    added = first.examples[-1]
    assert (added.index, added.database, added.evidence) == (len(data.examples), pets, "e")
    assert first.tables[added.db_id]["words"] == "own"
    assert "music" not in first.tables  # the demo's own music has no entry
    assert first.name == "demo/train and corrections"
    prints = [data.fingerprint, first.fingerprint]
    tables.write_text('[{"db_id": "music", "words": "new"}]')
    prints.append(whole().fingerprint)
    with closing(sqlite3.connect(pets)) as connection:
        connection.execute("CREATE TABLE more (id INT)")
    prints.append(whole().fingerprint)
    add(made(database=str(pets), query="SELECT 2"), file)
    prints.append(whole().fingerprint)
    assert len(set(prints)) == 5
    assert whole() == whole()
    assert extended(data, ()) is data


def test_a_profile_asks_for_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(made(), file)
    assert asked_for(Data()) == ()
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.chdir(file.parent)
    for path in (f"~/{file.name}", file.name, str(file)):
        assert len(asked_for(Data(corrections=path))) == 1


@pytest.mark.parametrize("content", [None, "{}\n", json.dumps({**LINE, "database": "demo/nowhere"})])
def test_kid_distill_makes_no_run_of_corrections_it_cannot_read(
    file: Path, content: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    if content:
        file.write_text(content)
    assert cli.run(["distill", "--set", f"data.corrections={file}"]) == 3
    assert str(file) in capfd.readouterr().err.splitlines()[0]
    assert runs.all_runs() == []
