"""What can be said of a query before it runs: its problems, and the tables and columns it uses.

For messages only: what keeps a database safe is the executor's fence (execute.py). sqlglot reads the
query and finds its scopes; names are looked up in them as SQLite does it (sqlite.org/lang_select.html,
sqlite.org/quirks.html on quoted names). Where the text cannot be read, or what a source holds is not
known, nothing is said: a false alarm is worse than silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.sql.names import name_hint
from engine.sql.systems import SYSTEMS
from engine.sql.text import first_statement, first_token, parse, tokens

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

MAX_LENGTH = 5_000
"""Longest query, in characters, whose names are looked up."""
_ROWID = {"rowid", "oid", "_rowid_"}
# Tables that a database has without saying so: catalogues, and functions that may do without brackets.
_BUILT_IN = ("sqlite_", "pragma_", "json_", "jsonb_", "dbstat", "duckdb_", "pg_")
_MAIN = ("", "main")
_SYSTEMS = {system.dialect: system for system in SYSTEMS}


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


def check(sql: str, schema: Mapping[str, Sequence[str]], dialect: str = "sqlite") -> Checked:
    """Looks a query over. Never raises, whatever the text.

    Args:
        schema: table or view -> its columns, as the database spells them; all that can be read.
        dialect: that of one of the SYSTEMS.
    """
    statement = first_statement(sql)
    problems = [problem] if (problem := _not_one_query(sql, statement, dialect)) else []
    query = _without_explain(statement)
    if len(query) > MAX_LENGTH or first_token(query) not in _SYSTEMS[dialect].query_words - {"explain"}:
        return Checked(tuple(problems))
    found = _look_up(query, schema, dialect)
    return Checked((*problems, *found.problems), found.columns, found.tables)


def _not_one_query(sql: str, statement: str, dialect: str) -> Problem | None:
    """What is wrong with a text as a whole."""
    word, system = first_token(sql), _SYSTEMS[dialect]
    if word in ("", ";"):
        return Problem("empty", "there is no query")
    if "\0" in sql:
        return Problem("syntax", "the query contains a null character")
    if word == "explain":
        word = first_token(_without_explain(statement))
        if word in ("", "explain"):
            return Problem("syntax", "incomplete input" if not word else 'near "explain": syntax error')
    if system.other_words.fullmatch(word):
        return Problem("forbidden", f"{word.upper()} is not run: only queries are")
    if word not in system.query_words:
        return Problem("syntax", f'near "{word[:100]}": syntax error', "a query begins with SELECT or WITH")
    if any(kind not in ("gap", "end") for kind, _ in tokens(sql[len(statement) :])):
        return Problem("forbidden", "You can only execute one statement at a time.")
    return None


def _without_explain(statement: str) -> str:
    """The query that an EXPLAIN [QUERY PLAN] is about; any other text as it is."""
    rest = list(tokens(statement))
    for word in ("explain", "query", "plan"):
        place = next((place for place, (kind, _) in enumerate(rest) if kind != "gap"), 0)
        if not rest or rest[place][1].lower() != word:
            break
        rest = rest[place + 1 :]
    return "".join(text for _, text in rest)


def _look_up(query: str, schema: Mapping[str, Sequence[str]], dialect: str) -> Checked:
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
                made for node, _ in _from_items(scope.expression) if (made := _cte(node, scope)) is not None
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
        for (node, join), source in zip(_from_items(scope.expression), self._sources(scope), strict=True):
            if source.table:
                self.tables.append((_place(node.this), source.table))
            elif isinstance(node, exp.Table) and self._is_missing(node, scope):
                self._report("unknown_table", "no such table", [*_qualifiers(node), node.this])
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
                self.columns.append((_place(column), (source.table, self.columns_of[source.table][name])))
        known = right.columns is not None and all(source.columns is not None for source in before)
        if known and not (left and right.has(name)):
            message = f"cannot join using column {self._written(column)} - column not present in both tables"
            self.problems.append((_place(column), Problem("unknown_column", message, self._hint(message))))

    def _visit_star(self, star: exp.Star, scope: Scope) -> None:
        """`*` and `T.*` among the results; count(*) names no column."""
        from sqlglot import exp

        column = star.parent if isinstance(star.parent, exp.Column) else None
        if not isinstance((column or star).parent, exp.Select):
            return
        qualifier = column.table if column else ""
        sources = self._called(qualifier, scope)
        if column and not sources:
            self._report("unknown_table", "no such table", _qualifiers(column))
        for source in sources:
            if source.table:
                names = self.columns_of[source.table].values()
                self.columns.extend((_place(star), (source.table, name)) for name in names)

    def _visit_column(self, column: exp.Column, scope: Scope) -> None:
        from sqlglot import exp

        if isinstance(column.parent, exp.In) and column.arg_key == "field":
            return  # x IN t: a table
        if column.find_ancestor(exp.Comprehension):
            return  # [x for x in list]
        if not column.table and _is_order_term(column) and self._has_result(column.name, scope):
            return
        found = self._find(column, scope)
        if found is None:
            return
        parts = [*_qualifiers(column), column.this]
        if not found:
            self._report("unknown_column", "no such column", parts)
        elif len(found) > 1:
            self._report("ambiguous", "ambiguous column name", parts)
        elif found[0].table:
            name = self.columns_of[found[0].table][column.name]
            self.columns.append((_place(column.this), (found[0].table, name)))

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
            if self.is_sqlite and _clause(inner, place.expression) in ("group", "order"):
                break  # there SQLite looks no further out
            inner, place = place.expression, _outer(place)
        if name in _ROWID or (not qualifier and self._is_text(column.this)):
            return None
        if not self.is_sqlite and (qualifier not in callable_by if qualifier else name in callable_by):
            return None  # a field of a column, or a whole row
        return []

    def _is_alias(self, name: str, inner: exp.Expr, scope: Scope) -> bool:
        """Whether a name can mean what SELECT … AS calls so; in SQLite it cannot among the results."""
        if name not in _aliases(scope.expression):
            return False
        return not self.is_sqlite or _clause(inner, scope.expression) != "expressions"

    def _has_result(self, name: str, scope: Scope) -> bool:
        """Whether ORDER BY finds a name among the results: what is said by AS, or stands for by `*`."""
        starred = self._starred(scope)
        return starred is None or name in starred or name in _aliases(scope.expression)

    def _is_text(self, name: exp.Expr) -> bool:
        """SQLite takes "a name" for a text where there is no column of that name."""
        return self.is_sqlite and self.query[_place(name)] == '"'

    def _sources(self, scope: Scope) -> list[_Source]:
        if id(scope) not in self._known_sources:
            sources: list[_Source] = []
            for node, join in _from_items(scope.expression):
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

        if node.args.get("pivots") or _in_brackets(node):
            return _Source(None)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            if (made := _cte(node, scope)) is not None:
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
        return starred | {_result_name(result) for result in scope.expression.expressions} - {""}

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
        self.problems.append((_place(parts[0]), Problem(kind, f"{words}: {written}", hint)))

    def _hint(self, message: str) -> str:
        if message not in self._hints:
            self._hints[message] = name_hint(message, self.schema, self.query)
        return self._hints[message]

    def _written(self, name: exp.Expr) -> str:
        """A name as the query has it, without its quotes."""
        text = self.query[name.meta["start"] : name.meta["end"] + 1]
        return text[1:-1] if name.args.get("quoted") else text


def _from_items(query: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    """What a SELECT reads from, in order, each with the join that brings it in."""
    from_ = query.args.get("from_")
    if from_:
        yield from _joined(from_.this, None)
    for join in query.args.get("joins") or []:
        yield from _joined(join.this, join)


def _joined(node: exp.Expr, join: exp.Join | None) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    if _in_brackets(node) and not join and not node.alias:
        yield from _joined(node.this, None)
    else:
        yield node, join
    for inner in node.args.get("joins") or []:
        yield from _joined(inner.this, inner)


def _in_brackets(node: exp.Expr) -> bool:
    """Whether it is a join in brackets: a query to SQLite, which makes no difference in the first place."""
    from sqlglot import exp

    return isinstance(node, exp.Subquery) and not isinstance(node.unnest(), exp.Query)


def _cte(node: exp.Expr, scope: Scope) -> Scope | None:
    """The query of WITH that a table's name means."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    made = scope.cte_sources.get(node.name) if isinstance(node, exp.Table) and not node.db else None
    return made if isinstance(made, Scope) else None


def _outer(scope: Scope) -> Scope | None:
    """The scope whose names a query can use beside its own: not that of its neighbours in FROM."""
    while scope.parent and (scope.is_derived_table or scope.is_cte):
        scope = scope.parent
    return scope.parent


def _aliases(query: exp.Expr) -> set[str]:
    """What a query's results are called by AS."""
    from sqlglot import exp

    results = query.expressions if isinstance(query, exp.Select) else []
    return {result.alias for result in results if isinstance(result, exp.Alias)}


def _clause(node: exp.Expr, query: exp.Expr) -> str:
    """The part of a query that a node stands in, as sqlglot calls it."""
    while node.parent is not None and node.parent is not query:
        node = node.parent
    return node.arg_key or ""


def _is_order_term(column: exp.Column) -> bool:
    """Whether it is a whole term of a query's ORDER BY, where names of results come first."""
    from sqlglot import exp

    node = column.parent
    while isinstance(node, exp.Paren | exp.Collate):
        node = node.parent
    order = node.parent if isinstance(node, exp.Ordered) else None
    return isinstance(order, exp.Order) and isinstance(order.parent, exp.Select)


def _result_name(result: exp.Expr) -> str:
    """The name of a result as an outer query can use it, "" for an expression without one."""
    from sqlglot import exp

    while isinstance(result, exp.Paren | exp.Collate):
        result = result.this
    return result.alias_or_name if isinstance(result, exp.Alias | exp.Column) else ""


def _qualifiers(node: exp.Expr) -> list[exp.Expr]:
    """The names before the last of a dotted one."""
    parts = (node.args.get(part) for part in ("catalog", "db", "table"))
    return [part for part in parts if part]


def _place(name: exp.Expr) -> int:
    return name.meta["start"]


def _in_order(placed: list[tuple[int, Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(what for _, what in sorted(placed, key=lambda pair: pair[0])))
