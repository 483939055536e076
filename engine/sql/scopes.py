"""Questions to sqlglot's trees and scopes that looking up names asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope


def from_items(query: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    """What a SELECT reads from, in order, each with the join that brings it in."""
    from_ = query.args.get("from_")
    if from_:
        yield from _joined(from_.this, None)
    for join in query.args.get("joins") or []:
        yield from _joined(join.this, join)


def _joined(node: exp.Expr, join: exp.Join | None) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    if in_brackets(node) and not join and not node.alias:
        yield from _joined(node.this, None)
    else:
        yield node, join
    for inner in node.args.get("joins") or []:
        yield from _joined(inner.this, inner)


def in_brackets(node: exp.Expr) -> bool:
    """Whether it is a join in brackets: a query to SQLite, which makes no difference in the first place."""
    from sqlglot import exp

    return isinstance(node, exp.Subquery) and not isinstance(node.unnest(), exp.Query)


def cte(node: exp.Expr, scope: Scope) -> Scope | None:
    """The query of WITH that a table's name means."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    made = scope.cte_sources.get(node.name) if isinstance(node, exp.Table) and not node.db else None
    return made if isinstance(made, Scope) else None


def outer(scope: Scope) -> Scope | None:
    """The scope whose names a query can use beside its own: not that of its neighbours in FROM."""
    while scope.parent and (scope.is_derived_table or scope.is_cte):
        scope = scope.parent
    return scope.parent


def aliases(query: exp.Expr) -> set[str]:
    """What a query's results are called by AS."""
    from sqlglot import exp

    results = query.expressions if isinstance(query, exp.Select) else []
    return {result.alias for result in results if isinstance(result, exp.Alias)}


def clause(node: exp.Expr, query: exp.Expr) -> str:
    """The part of a query that a node stands in, as sqlglot calls it."""
    while node.parent is not None and node.parent is not query:
        node = node.parent
    return node.arg_key or ""


def is_order_term(column: exp.Column) -> bool:
    """Whether it is a whole term of a query's ORDER BY, where names of results come first."""
    from sqlglot import exp

    node = column.parent
    while isinstance(node, exp.Paren | exp.Collate):
        node = node.parent
    order = node.parent if isinstance(node, exp.Ordered) else None
    return isinstance(order, exp.Order) and isinstance(order.parent, exp.Select)


def result_name(result: exp.Expr) -> str:
    """The name of a result as an outer query can use it, "" for an expression without one."""
    from sqlglot import exp

    while isinstance(result, exp.Paren | exp.Collate):
        result = result.this
    return result.alias_or_name if isinstance(result, exp.Alias | exp.Column) else ""


def qualifiers(node: exp.Expr) -> list[exp.Expr]:
    """The names before the last of a dotted one."""
    parts = (node.args.get(part) for part in ("catalog", "db", "table"))
    return [part for part in parts if part]


def place(name: exp.Expr) -> int:
    return name.meta["start"]
