"""The CodeS prompt: a prefix that only the database decides, a suffix for the question.

    database schema :
    table T , columns = [ T.c ( type | primary key | comment : X | values : v1 , v2 ) , … ]
    foreign keys :
    T.c = R.d
    matched contents :                     <- the suffix starts here
    T.c ( v1 , v2 )
    question

The format is that of CodeS (Li et al. 2024); evaluation.md section 1 has the rules.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.data.benchmarks import Example
from engine.data.schema import Column, Schema, Table, clean, read_schema
from engine.data.values import Match, ValueIndex
from engine.errors import DataError
from engine.sql.text import normalise


class Prompter:
    """Writes prompts within a budget of tokens.

    Where a schema is too long, these go, one after the other until it fits: all sample values, all
    comments, columns that are no keys (one at a time, the last of the table that is then widest), all
    types, foreign keys (last first), tables (last first). So the prefix depends on the database and the
    budget alone. In a suffix, matched values go first (shortest first), then the end of the evidence,
    then the end of the question, by whole words.

    Args:
        count_tokens: the number of tokens of a text that is tokenised by itself.
        max_prompt_tokens: longest prefix and suffix together.
        max_suffix_tokens: the part of it kept for the suffix.
    """

    def __init__(
        self, count_tokens: Callable[[str], int], max_prompt_tokens: int = 1024, max_suffix_tokens: int = 256
    ) -> None:
        self._count_tokens = count_tokens
        self._max_prefix_tokens = max_prompt_tokens - max_suffix_tokens
        self._max_suffix_tokens = max_suffix_tokens
        self._prefixes: dict[tuple[Path, bool], str] = {}
        self._index = lru_cache(maxsize=64)(ValueIndex.of)  # each holds a file open
        self._dropped: dict[Path, list[str]] = {}

    @property
    def dropped(self) -> Mapping[Path, str]:
        """What did not fit, for each database where something did not: one phrase each."""
        return {database: "; ".join(phrases) for database, phrases in self._dropped.items()}

    def prefix(self, database: Path, tables_entry: Mapping[str, Any] | None = None) -> str:
        """The schema of a database, ending in a newline; made once.

        Args:
            tables_entry: its entry in tables.json, which gives comments to the columns.

        Raises:
            DatabaseError: the database is missing or damaged.
            DataError: not even an empty schema fits.
        """
        key = (database, bool(tables_entry))
        if key not in self._prefixes:
            steps = _SchemaSteps(read_schema(database, tables_entry))
            step = self._first_fit(steps.num, steps.render, self._max_prefix_tokens)
            if step is None:
                raise DataError(
                    f"no schema fits into {self._max_prefix_tokens} tokens"
                    " (data.max_prompt_tokens less data.max_suffix_tokens)",
                    "raise data.max_prompt_tokens",
                )
            if step:
                self.note(database, steps.describe(step))
            self._prefixes[key] = steps.render(step)
        return self._prefixes[key]

    def forget(self, database: Path) -> None:
        """Lets a database be read anew."""
        for commented in (False, True):
            self._prefixes.pop((database, commented), None)
        self._dropped.pop(database, None)
        self._index.cache_clear()

    def suffix(self, example: Example) -> str:
        """Matched values and question, ending in a newline.

        Raises:
            DatabaseError: the database is missing or damaged.
            DataError: not even an empty question fits.
        """
        evidence, question = _one_line(example.evidence), _one_line(example.question)
        asked = f"{evidence} {question}".strip()
        steps = _SuffixSteps(self._index(example.database).match(asked), evidence, question)
        step = self._first_fit(steps.num, steps.render, self._max_suffix_tokens)
        if step is None:
            raise DataError(
                f"no question fits into {self._max_suffix_tokens} tokens (data.max_suffix_tokens)",
                "raise data.max_suffix_tokens",
            )
        if step:
            self.note(example.database, steps.describe(step))
        return steps.render(step)

    def target(self, query: str) -> str:
        """The text to learn: the gold SQL on one line, without a final `;`."""
        return normalise(query)

    def _first_fit(self, num_steps: int, render: Callable[[int], str], budget: int) -> int | None:
        """The least number of steps of shortening whose text is within the budget."""

        def fits(step: int) -> bool:
            return self._count_tokens(render(step)) <= budget

        if fits(0):
            return 0
        step = bisect_left(range(num_steps + 1), True, lo=1, key=fits)
        return step if step <= num_steps else None

    def note(self, database: Path, phrase: str) -> None:
        """Keeps what did not fit, for `dropped`."""
        phrases = self._dropped.setdefault(database, [])
        if phrase not in phrases:
            phrases.append(phrase)


@dataclass(frozen=True)
class _Cuts:
    """What is left out of a schema: kinds of facts as a whole, the rest by number."""

    values: bool
    comments: bool
    columns: int
    types: bool
    foreign_keys: int
    tables: int


class _SchemaSteps:
    """A schema, and the steps in which it can be made shorter: step 0 shows all, step `num` nothing."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._spare = _spare_columns(schema)
        # Sample values, comments and types are one step each.
        self.num = 3 + len(self._spare) + len(schema.foreign_keys) + len(schema.tables)

    def _cuts(self, step: int) -> _Cuts:
        columns = min(max(step - 2, 0), len(self._spare))
        rest = step - 2 - columns
        keys = min(max(rest - 1, 0), len(self._schema.foreign_keys))
        return _Cuts(step >= 1, step >= 2, columns, rest >= 1, keys, max(rest - 1 - keys, 0))

    def render(self, step: int) -> str:
        cuts = self._cuts(step)
        hidden = set(self._spare[: cuts.columns])
        lines = ["database schema :"]
        for table in self._schema.tables[: len(self._schema.tables) - cuts.tables]:
            columns = [
                _column(table, column, cuts)
                for column in table.columns
                if (table.name, column.name) not in hidden
            ]
            lines.append(f"table {_name(table.name)} , columns = [ {' , '.join(columns)} ]")
        keys = self._schema.foreign_keys[: len(self._schema.foreign_keys) - cuts.foreign_keys]
        lines.append("foreign keys :" if keys else "foreign keys : None")
        lines += [
            f"{_full_name(key.table, key.column)} = {_full_name(key.ref_table, key.ref_column)}"
            for key in keys
        ]
        return "\n".join(lines) + "\n"

    def describe(self, step: int) -> str:
        cuts = self._cuts(step)
        columns = [column for table in self._schema.tables for column in table.columns]
        parts = []
        for gone, what in (
            (cuts.values and any(column.values for column in columns), "sample values"),
            (cuts.comments and any(column.comment for column in columns), "comments"),
            (cuts.columns, f"{cuts.columns} of {len(columns)} columns"),
            (cuts.types, "types"),
            (cuts.foreign_keys, f"{cuts.foreign_keys} of {len(self._schema.foreign_keys)} foreign keys"),
            (cuts.tables, f"{cuts.tables} of {len(self._schema.tables)} tables"),
        ):
            if gone:
                parts.append(what)
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


class _SuffixSteps:
    """Matched values and a question, and the steps in which they can be made shorter."""

    def __init__(self, matches: list[Match], evidence: str, question: str) -> None:
        self._matches = matches
        # Stable: of equally long values those of the first columns stay.
        self._values = sorted(
            ((table, column, value) for table, column, values in matches for value in values),
            key=lambda place: -len(place[2]),
        )
        self._evidence = evidence.split()
        self._question = question
        self._words = re.findall(r"\S+\s*", question)
        self.num = len(self._values) + len(self._evidence) + len(self._words)

    def _cuts(self, step: int) -> tuple[int, int, int]:
        """How many values, words of evidence, words of the question are left out?"""
        values = min(step, len(self._values))
        evidence = min(step - values, len(self._evidence))
        return values, evidence, step - values - evidence

    def render(self, step: int) -> str:
        num_values, num_evidence, num_words = self._cuts(step)
        kept = set(self._values[: len(self._values) - num_values])
        lines = []
        for table, column, values in self._matches:
            shown = [value for value in values if (table, column, value) in kept]
            if shown:
                lines.append(f"{_full_name(table, column)} ( {' , '.join(shown)} )")
        lines.insert(0, "matched contents :" if lines else "matched contents : None")
        evidence = " ".join(self._evidence[: len(self._evidence) - num_evidence])
        question = "".join(self._words[: len(self._words) - num_words]).rstrip()
        return "\n".join([*lines, f"{evidence} {question}".strip()]) + "\n"

    def describe(self, step: int) -> str:
        _, num_evidence, num_words = self._cuts(step)
        if num_words:
            return "the end of some questions"
        return "the end of some evidence" if num_evidence else "some matched values"


def _spare_columns(schema: Schema) -> list[tuple[str, str]]:
    """(table, column) in the order in which they may go: no keys, from the widest table each time.

    A table keeps at least one column.
    """
    keys = {(key.table, key.column) for key in schema.foreign_keys}
    keys |= {(key.ref_table, key.ref_column) for key in schema.foreign_keys}
    widths, spare = {}, {}
    for table in schema.tables:
        columns = [c.name for c in table.columns if not (c.primary_key or (table.name, c.name) in keys)]
        widths[table.name] = len(table.columns)
        spare[table.name] = columns if len(columns) < len(table.columns) else columns[1:]
    order = []
    while any(spare.values()):
        widest = max((table for table in widths if spare[table]), key=lambda table: widths[table])
        order.append((widest, spare[widest].pop()))
        widths[widest] -= 1
    return order


def _column(table: Table, column: Column, cuts: _Cuts) -> str:
    facts = [clean(column.type).lower()] if column.type and not cuts.types else []
    if column.primary_key:
        facts.append("primary key")
    if column.comment and not cuts.comments:
        facts.append(f"comment : {column.comment}")
    if column.values and not cuts.values:
        facts.append(f"values : {' , '.join(column.values)}")
    return _full_name(table.name, column.name) + (f" ( {' | '.join(facts)} )" if facts else "")


def _full_name(table: str, column: str) -> str:
    return f"{_name(table)}.{_name(column)}"


def _name(name: str) -> str:
    """Lower case, in back-quotes if SQL could not read it bare."""
    name = clean(name).lower()
    return f"`{name}`" if re.search(r"[(\- )/]", name) else name


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text).strip()
