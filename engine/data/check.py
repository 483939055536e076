"""What is wrong with a data set, and which of its items cannot be scored honestly.

Every gold query is run, as `kid eval` runs it; a text task has none. What stops an item from being
scored is a problem; what makes its score say little is a note. `KINDS` names them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.data.adapters import open_database
from engine.data.benchmarks import DataSet, Example, Place, locate, read, read_tables
from engine.data.reader import quote
from engine.data.releases import SETS, bird_release
from engine.data.text_task import same_text
from engine.data.ties import break_ties
from engine.errors import DatabaseError
from engine.sql.compare import prepare
from engine.sql.execute import Executor, Outcome
from engine.sql.text import tables


@dataclass(frozen=True, slots=True)
class Kind:
    title: str
    problem: bool = False


KINDS: Mapping[str, Kind] = {
    "size": Kind("not the number of items that the release has", problem=True),
    "database": Kind("databases that do not open", problem=True),
    "gold_fails": Kind("the gold query fails: not scored", problem=True),
    "known_failure": Kind("the gold query fails, as it does in the release itself: not scored"),
    "vacuous": Kind("the gold query reads an empty table: a match says little"),
    "tie": Kind("LIMIT cuts a tie: which rows are right is left to chance"),
    "unordered": Kind("LIMIT without ORDER BY: which rows are right is left to chance"),
    "empty_result": Kind("gold's own result is empty: it matches every empty result"),
    "empty_tables": Kind("databases with empty tables"),
    "no_entry": Kind("databases that are used, but not described in tables.json"),
    "several": Kind("the same prompt with other completions: only one of them can be matched"),
    "not_here": Kind("databases in tables.json that are not here; no item uses them"),
}
_SHOWN = 60  # characters of a row in a message
_SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    """A key of KINDS."""
    subject: str
    """The database that it is about, or the data set."""
    message: str
    index: int | None = None
    """The item, where it is about one."""


@dataclass(frozen=True, slots=True)
class Timing:
    index: int
    """The first item with this gold query."""
    db_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found. Of a text task, `num_databases` counts contexts.

    seconds: spent in SQLite by the distinct gold queries, together; `slowest` has the worst of them.
    """

    name: str
    release: str
    """Which of several it is, "" where there is only one, or it is not known."""
    difficulties: dict[str, int]
    """The release's own class -> its number of items; empty where it has none."""
    num_examples: int
    num_databases: int
    num_queries: int
    fingerprint: str
    seconds: float
    slowest: list[Timing]
    findings: list[Finding]
    kind: str = "sql"

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def num_problems(self) -> int:
        return sum(KINDS[finding.kind].problem for finding in self.findings)


def check(
    spec: str,
    data_dir: Path | None = None,
    databases: Path | None = None,
    *,
    jobs: int = 2,
    timeout: float = 30.0,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Read a data set, open its databases and run its gold queries.

    Args:
        spec, data_dir, databases: as those of `benchmarks.load`.
        jobs: queries at once.
        timeout: seconds for one query.
        advance: told after each gold query how many are done, of how many.

    Raises:
        DataError: the items cannot be found or read.
        KidError: no process for SQL can be started.
    """
    place = locate(spec, data_dir, databases)
    dataset = read(place)
    if dataset.kind == "text":
        return _check_texts(dataset)
    files = dataset.databases
    findings = list(_size(dataset))
    empty: dict[Path, set[str]] = {}
    for db_id, file in sorted(files.items()):
        try:
            empty[file] = _empty_tables(file)
        except DatabaseError as error:
            findings.append(Finding("database", db_id, error.message))
    for db_id, file in sorted(files.items()):
        if names := empty.get(file):
            findings.append(Finding("empty_tables", db_id, ", ".join(sorted(names))))
    findings += _described(place, dataset)

    queries: dict[tuple[Path, str], list[Example]] = {}
    for example in dataset.examples:
        if example.database in empty:
            queries.setdefault((example.database, _as_run(example.query)), []).append(example)
    timings = []
    with Executor(jobs, timeout) as executor, closing(executor.each(partial(_run, executor), queries)) as run:
        for done, (examples, answer) in enumerate(zip(queries.values(), run, strict=True), 1):
            timings.append(Timing(examples[0].index, examples[0].db_id, round(answer.gold.seconds, 6)))
            for example in examples:
                findings += _judge(spec, example, answer, empty[example.database])
            advance(done, len(queries))
    classes = Counter(example.difficulty for example in dataset.examples if example.difficulty)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return Report(
        name=spec,
        release=bird_release(classes),
        difficulties=dict(classes.most_common()),
        num_examples=len(dataset.examples),
        num_databases=len(files),
        num_queries=len(queries),
        fingerprint=dataset.fingerprint,
        seconds=round(sum(timing.seconds for timing in timings), 6),
        slowest=sorted(timings, key=lambda timing: -timing.seconds)[:_SLOWEST],
        findings=sorted(findings, key=lambda finding: (order[finding.kind], finding.index or 0)),
    )


def _check_texts(dataset: DataSet) -> Report:
    """A text task's items have been checked as they were read; what is left is whether they agree."""
    first: dict[tuple[str, str], Example] = {}
    findings = []
    for example in dataset.examples:
        known = first.setdefault((example.db_id, example.question), example)
        if not same_text(known.query, example.query):
            message = f"{_cut(repr(example.query))}; item {known.index} has {_cut(repr(known.query))}"
            findings.append(Finding("several", example.db_id, message, example.index))
    return Report(
        name=dataset.name,
        release="",
        difficulties={},
        num_examples=len(dataset.examples),
        num_databases=len(dataset.contexts),
        num_queries=0,
        fingerprint=dataset.fingerprint,
        seconds=0.0,
        slowest=[],
        findings=findings,
        kind="text",
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a gold query; `tie` is a kind and a message where a LIMIT leaves it undetermined."""

    gold: Outcome
    tie: tuple[str, str] | None = None


def _as_run(query: str) -> str:
    return prepare(query, "", keep_distinct=True)[0]


def _run(executor: Executor, query: tuple[Path, str]) -> _Answer:
    database, sql = query
    gold = executor.run(database, sql)
    broken = break_ties(sql, len(gold.columns)) if not gold.error else None
    if broken is None:
        return _Answer(gold)
    outcomes = [executor.run(database, form) for form in (broken.up, broken.down)]
    if any(outcome.error for outcome in outcomes):  # too slow, say: then it cannot be told
        return _Answer(gold)
    # Gold's own choice is a third one: it may show a tie that the others hide.
    rows = [Counter(outcome.rows) for outcome in (*outcomes, gold)]
    for other in rows[1:]:
        if other != rows[0]:
            one, another = next(iter(rows[0] - other), ()), next(iter(other - rows[0]), ())
            kind = "tie" if broken.ordered else "unordered"
            return _Answer(gold, (kind, f"{_shown(one)} or {_shown(another)}"))
    return _Answer(gold)


def _judge(spec: str, example: Example, answer: _Answer, empty: set[str]) -> Iterator[Finding]:
    def finding(kind: str, message: str) -> Finding:
        return Finding(kind, example.db_id, message, example.index)

    gold = answer.gold
    if gold.error or gold.truncated:
        known = spec in SETS and example.index in SETS[spec].failing
        yield finding("known_failure" if known else "gold_fails", gold.message or "its result is too large")
        return
    if read_empty := sorted(name for name in empty if name.lower() in tables(example.query)):
        yield finding("vacuous", ", ".join(read_empty))
    if answer.tie:
        yield finding(*answer.tie)
    if not gold.rows:
        yield finding("empty_result", example.query)


def _size(dataset: DataSet) -> Iterator[Finding]:
    sizes = SETS[dataset.name].sizes if dataset.name in SETS else ()
    if sizes and len(dataset.examples) not in sizes:
        has, expected = len(dataset.examples), " or ".join(map(str, sizes))
        yield Finding("size", dataset.name, f"{has} items; the release has {expected}")


def _empty_tables(file: Path) -> set[str]:
    """Names of the tables without rows.

    Raises:
        DatabaseError: the file is missing, is no database, or has no tables.
    """
    with open_database(file) as reader:
        names = list(reader.tables())
        empty = {
            table
            for table in names
            if not reader.execute(f"SELECT EXISTS (SELECT 1 FROM {quote(table)})").fetchone()[0]
        }
    if not names:
        raise DatabaseError(f"{file} has no tables", "fetch or restore the file")
    return empty


def _described(place: Place, dataset: DataSet) -> Iterator[Finding]:
    """Where databases and tables.json do not go together."""
    entries = read_tables(place.tables)
    if not entries:
        return
    used = dataset.databases
    for db_id in sorted(used.keys() - entries.keys()):
        yield Finding("no_entry", db_id, "its prompts have no comments")
    for db_id in sorted(entries.keys() - used.keys()):
        if place.database(db_id) is None:
            yield Finding("not_here", db_id, "no file")


def _shown(row: tuple) -> str:
    """A row in few characters; () stands for no row."""
    return _cut(" | ".join("NULL" if cell is None else str(cell) for cell in row) if row else "no row")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
