"""The names of a query looked up in the schema, as SQLite does it.

sqlglot reads the query and finds its scopes; sqlite.org/lang_select.html tells what is seen from where,
sqlite.org/quirks.html what quoted names are. Where the text cannot be read, or what a source holds is not
known, nothing is said: a false alarm is worse than silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.sql.names import name_hint
from engine.sql.scopes import (
    aliases,
    clause,
    cte,
    from_items,
    in_brackets,
    is_order_term,
    outer,
    place,
    qualifiers,
    result_name,
)
from engine.sql.text import parse

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

_ROWID = {"rowid", "oid", "_rowid_"}
# Tables that a database has without saying so: catalogues, and functions that may do without brackets.
_BUILT_IN = ("sqlite_", "pragma_", "json_", "jsonb_", "dbstat", "duckdb_", "pg_")
_MAIN = ("", "main")


@dataclass(frozen=True)
class Problem:
    """What stands against a query.

    kind: "empty", "forbidden", "syntax", "unknown_table", "unknown_column" or "ambiguous".
    message: in SQLite's words, e.g. "no such column: T1.nme".
    hint: e.g. "did you mean singer.name?"; "" for no idea.
    """

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Checked:
    """What is known of a query; nothing where it cannot be read.

    columns: (table, column) pairs, tables: names, both as the schema spells them, in order of first
        appearance, each once. A `*` stands for all columns of its tables.
    """

    problems: tuple[Problem, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    tables: tuple[str, ...] = ()


def look_up(query: str, schema: Mapping[str, Sequence[str]], dialect: str) -> Checked:
    """All that is known of the names of one query."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
    from sqlglot.optimizer.scope import build_scope

    tree = parse(query, dialect)
    if isinstance(tree, exp.DML | exp.DDL):  # WITH … DELETE
        return Checked((Problem("forbidden", f"{tree.key.upper()} is not run: only queries are"),))
    if not isinstance(tree, exp.Query):
        return Checked()
    try:
        tree = normalize_identifiers(tree.copy(), dialect)
        root = build_scope(tree)
    except (SqlglotError, RecursionError):
        return Checked()
    if root is None:
        return Checked()
    lookup = _Lookup(query, tree, schema, dialect)
    lookup.visit(root)
    return lookup.result()


@dataclass(frozen=True)
class _Source:
    """What stands in a FROM clause; names in lower case.

    name: by which its columns can be called, "" for none, None where that is not known.
    table: the schema's table behind it, "" for any other.
    columns: None where they are not known.
    merged: columns that USING or NATURAL makes one with those of the sources before it.
    """

    name: str | None
    table: str = ""
    columns: Collection[str] | None = None
    merged: Collection[str] = ()

    def has(self, column: str) -> bool:
        return self.columns is not None and column in self.columns


class _Lookup:
    """Looks names up in scopes, and gathers what it finds with its place in the text."""

    def __init__(self, query: str, tree: exp.Expr, schema: Mapping[str, Sequence[str]], dialect: str) -> None:
        from sqlglot import exp

        self.query, self.schema, self.is_sqlite = query, schema, dialect == "sqlite"
        self.made_here = {cte.alias for cte in tree.find_all(exp.CTE)}
        self.spelt = {table.lower(): table for table in schema}
        self.columns_of = {table: {name.lower(): name for name in schema[table]} for table in schema}
        self.problems: list[tuple[int, Problem]] = []
        self.columns: list[tuple[int, tuple[str, str]]] = []
        self.tables: list[tuple[int, str]] = []
        self._known_sources: dict[int, list[_Source]] = {}
        self._hints: dict[str, str] = {}

    def result(self) -> Checked:
        """What was found, in the order of the text; but tables that do not exist come first, as in SQLite."""
        problems = _in_order(self.problems)
        first = tuple(problem for problem in problems if problem.kind == "unknown_table")
        rest = tuple(problem for problem in problems if problem.kind != "unknown_table")
        return Checked(first + rest, _in_order(self.columns), _in_order(self.tables))

    def visit(self, root: Scope) -> None:
        """Looks up all names of a query, but, as SQLite does, none of a WITH that nobody reads."""
        pending, seen = [root], set()
        while pending:
            scope = pending.pop()
            if id(scope) in seen:
                continue
            seen.add(id(scope))
            self._visit_scope(scope)
            pending += [*scope.table_scopes, *scope.subquery_scopes, *scope.set_operation_scopes]
            pending += [
                made for node, _ in from_items(scope.expression) if (made := cte(node, scope)) is not None
            ]

    def _visit_scope(self, scope: Scope) -> None:
        from sqlglot import exp

        if not isinstance(scope.expression, exp.Select):
            return  # the ORDER BY of a set operation can only name columns that its parts name, too
        self._visit_from(scope)
        for node in scope.walk():
            if isinstance(node, exp.Star):
                self._visit_star(node, scope)
            elif isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
                self._visit_column(node, scope)

    def _visit_from(self, scope: Scope) -> None:
        from sqlglot import exp

        before: list[_Source] = []
        for (node, join), source in zip(from_items(scope.expression), self._sources(scope), strict=True):
            if source.table:
                self.tables.append((place(node.this), source.table))
            elif isinstance(node, exp.Table) and self._is_missing(node, scope):
                self._report("unknown_table", "no such table", [*qualifiers(node), node.this])
            for column in (join.args.get("using") or []) if join else []:
                self._visit_using(column, source, before)
            before.append(source)

    def _is_missing(self, table: exp.Table, scope: Scope) -> bool:
        """Whether no table, CTE or function can be meant."""
        from sqlglot import exp

        if not isinstance(table.this, exp.Identifier) or table.name.startswith(_BUILT_IN):
            return False
        if table.db not in _MAIN:
            return self.is_sqlite and table.db != "temp"  # another database may have schemas
        return table.name not in self.spelt and table.name not in self.made_here

    def _visit_using(self, column: exp.Expr, right: _Source, before: list[_Source]) -> None:
        name = column.name
        left = next((source for source in before if source.has(name)), None)
        for source in (left, right):
            if source and source.table and source.has(name):
                self.columns.append((place(column), (source.table, self.columns_of[source.table][name])))
        known = right.columns is not None and all(source.columns is not None for source in before)
        if known and not (left and right.has(name)):
            message = f"cannot join using column {self._written(column)} - column not present in both tables"
            self.problems.append((place(column), Problem("unknown_column", message, self._hint(message))))

    def _visit_star(self, star: exp.Star, scope: Scope) -> None:
        """`*` and `T.*` among the results; count(*) names no column."""
        from sqlglot import exp

        column = star.parent if isinstance(star.parent, exp.Column) else None
        if not isinstance((column or star).parent, exp.Select):
            return
        qualifier = column.table if column else ""
        sources = self._called(qualifier, scope)
        if column and not sources:
            self._report("unknown_table", "no such table", qualifiers(column))
        for source in sources:
            if source.table:
                names = self.columns_of[source.table].values()
                self.columns.extend((place(star), (source.table, name)) for name in names)

    def _visit_column(self, column: exp.Column, scope: Scope) -> None:
        from sqlglot import exp

        if isinstance(column.parent, exp.In) and column.arg_key == "field":
            return  # x IN t: a table
        if column.find_ancestor(exp.Comprehension):
            return  # [x for x in list]
        if not column.table and is_order_term(column) and self._has_result(column.name, scope):
            return
        found = self._find(column, scope)
        if found is None:
            return
        parts = [*qualifiers(column), column.this]
        if not found:
            self._report("unknown_column", "no such column", parts)
        elif len(found) > 1:
            self._report("ambiguous", "ambiguous column name", parts)
        elif found[0].table:
            name = self.columns_of[found[0].table][column.name]
            self.columns.append((place(column.this), (found[0].table, name)))

    def _find(self, column: exp.Column, scope: Scope) -> list[_Source] | None:
        """The sources that have the column, in the innermost scope where there are any.

        None where it is something else than a source's column, or may be.
        """
        name, qualifier = column.name, column.table
        callable_by: set[str | None] = set()
        inner: exp.Expr = column
        place: Scope | None = scope
        while place:
            callable_by.update(source.name for source in self._sources(place))
            sources = self._called(qualifier, place)
            found: list[_Source] = []
            for source in sources:
                if source.has(name) and not (found and name in source.merged):
                    found.append(source)
            if found:
                return found
            if any(source.columns is None for source in sources):
                return None
            if not qualifier and self._is_alias(name, inner, place):
                return None
            if self.is_sqlite and clause(inner, place.expression) in ("group", "order"):
                break  # there SQLite looks no further out
            inner, place = place.expression, outer(place)
        if name in _ROWID or (not qualifier and self._is_text(column.this)):
            return None
        if not self.is_sqlite and (qualifier not in callable_by if qualifier else name in callable_by):
            return None  # a field of a column, or a whole row
        return []

    def _is_alias(self, name: str, inner: exp.Expr, scope: Scope) -> bool:
        """Whether a name can mean what SELECT … AS calls so; in SQLite it cannot among the results."""
        if name not in aliases(scope.expression):
            return False
        return not self.is_sqlite or clause(inner, scope.expression) != "expressions"

    def _has_result(self, name: str, scope: Scope) -> bool:
        """Whether ORDER BY finds a name among the results: what is said by AS, or stands for by `*`."""
        starred = self._starred(scope)
        return starred is None or name in starred or name in aliases(scope.expression)

    def _is_text(self, name: exp.Expr) -> bool:
        """SQLite takes "a name" for a text where there is no column of that name."""
        return self.is_sqlite and self.query[place(name)] == '"'

    def _sources(self, scope: Scope) -> list[_Source]:
        if id(scope) not in self._known_sources:
            sources: list[_Source] = []
            for node, join in from_items(scope.expression):
                source = self._source(node, scope)
                if join and join.method.upper() == "NATURAL":
                    merged: Collection[str] = source.columns or ()
                else:
                    merged = [column.name for column in (join.args.get("using") or [])] if join else ()
                sources.append(replace(source, merged=merged))
            self._known_sources[id(scope)] = sources
        return self._known_sources[id(scope)]

    def _source(self, node: exp.Expr, scope: Scope) -> _Source:
        from sqlglot import exp

        if node.args.get("pivots") or in_brackets(node):
            return _Source(None)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            if (made := cte(node, scope)) is not None:
                return _Source(node.alias_or_name, columns=self._outputs(made))
            table = self.spelt.get(node.name, "") if node.db in _MAIN else ""
            return _Source(node.alias_or_name, table, self.columns_of.get(table))
        if isinstance(node, exp.Subquery):
            query = node.unnest()
            made_by = (made for made in scope.derived_table_scopes if made.expression is query)
            return _Source(node.alias, columns=self._outputs(next(made_by, None)))
        return _Source(None)

    def _outputs(self, scope: Scope | None) -> set[str] | None:
        """The columns of a query's result; None where they are not known. What has no name is left out."""
        from sqlglot import exp

        if scope is None:
            return None
        if scope.is_cte and (cte := scope.expression.find_ancestor(exp.CTE)) and cte.alias_column_names:
            return set(cte.alias_column_names)  # sqlglot forgets them where a CTE reads itself
        if scope.outer_columns:
            return set(scope.outer_columns)
        if scope.set_operation_scopes:
            return self._outputs(scope.set_operation_scopes[0])
        if not isinstance(scope.expression, exp.Select):
            return None
        starred = self._starred(scope)
        if starred is None:
            return None
        return starred | {result_name(result) for result in scope.expression.expressions} - {""}

    def _starred(self, scope: Scope) -> set[str] | None:
        """The columns that the `*` and `T.*` of a SELECT stand for; None where they are not known."""
        from sqlglot import exp

        starred: set[str] = set()
        for result in scope.expression.expressions:
            if not result.is_star:
                continue
            for source in self._called(result.table if isinstance(result, exp.Column) else "", scope):
                if source.columns is None:
                    return None
                starred.update(source.columns)
        return starred

    def _called(self, qualifier: str, scope: Scope) -> list[_Source]:
        """The sources that a qualifier may mean; all without one."""
        return [source for source in self._sources(scope) if source.name in (qualifier or source.name, None)]

    def _report(self, kind: str, words: str, parts: list[exp.Expr]) -> None:
        written = ".".join(map(self._written, parts))
        hint = self._hint(f"{words}: {written}")
        if hint.lower() == f"did you mean {written}?".lower():  # the name is right, but out of reach
            hint = f"{self._written(parts[0])} is not in FROM under that name"
        self.problems.append((place(parts[0]), Problem(kind, f"{words}: {written}", hint)))

    def _hint(self, message: str) -> str:
        if message not in self._hints:
            self._hints[message] = name_hint(message, self.schema, self.query)
        return self._hints[message]

    def _written(self, name: exp.Expr) -> str:
        """A name as the query has it, without its quotes."""
        text = self.query[name.meta["start"] : name.meta["end"] + 1]
        return text[1:-1] if name.args.get("quoted") else text


def _in_order(placed: list[tuple[int, Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(what for _, what in sorted(placed, key=lambda pair: pair[0])))
