"""Spider's difficulty of a query (evaluation.md, section 5). Pure.

The official code counts on the trees of its own small grammar; here on sqlglot's, with
the official quirks kept but one: where a column is compared with a column, the official
parser loses an OR that follows (2 of Spider's 7 000 training queries, none of dev).
Only the left-most select block counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from engine.sql.text import parse

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

Hardness = Literal["easy", "medium", "hard", "extra"]
LEVELS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")


def hardness(sql: str) -> Hardness:
    """The class of a gold query; "extra" where it cannot be parsed."""
    from sqlglot import exp

    tree = block = parse(sql)
    while isinstance(block, (exp.SetOperation, exp.Subquery)):
        block = block.this
    if not isinstance(block, exp.Select):
        return "extra"
    where, having = _condition(block.args.get("where")), _condition(block.args.get("having"))
    joins = block.args.get("joins") or []
    everywhere = [*where, *having, *(part for join in joins for part in _flat(join.args.get("on")))]

    clauses = sum(bool(block.args.get(clause)) for clause in ("where", "group", "order", "limit"))
    ors = sum(isinstance(part, exp.Or) for part in everywhere)
    likes = sum(isinstance(_bare(part), exp.Like) for part in everywhere)
    nested = sum(_subqueries(part) for part in everywhere) + isinstance(tree, exp.SetOperation)

    group = block.args["group"].expressions if block.args.get("group") else []
    order = block.args["order"].expressions if block.args.get("order") else []
    aggregates = (
        sum(isinstance(item.unalias(), exp.AggFunc) for item in block.expressions)
        + sum(len(list(term.find_all(exp.AggFunc))) for term in order)
        # Two quirks: what counts in a condition is a negation, and in HAVING AND and OR too.
        + sum(isinstance(part, exp.Not) for part in where)
        + sum(isinstance(part, (exp.Not, exp.Connector)) for part in having)
    )
    several = sum(
        count > 1
        for count in (
            aggregates,
            len(block.expressions),
            sum(not isinstance(part, exp.Connector) for part in where),
            len(group),
        )
    )
    return _level(clauses + len(joins) + ors + likes, nested, several)


def _level(c1: int, c2: int, c3: int) -> Hardness:
    """C1, C2 and C3 of evaluation.md, section 5."""
    if c1 <= 1 and c2 == c3 == 0:
        return "easy"
    if c2 == 0 and ((c1 <= 1 and c3 <= 2) or (c1 <= 2 and c3 < 2)):
        return "medium"
    if (c2 == 0 and ((c3 > 2 and c1 <= 2) or (c1 == 3 and c3 <= 2))) or (c1 <= 1 and c3 == 0 and c2 <= 1):
        return "hard"
    return "extra"


def _condition(clause: Expr | None) -> list[Expr]:
    return list(_flat(clause.this)) if clause else []


def _flat(condition: Expr | None) -> Iterator[Expr]:
    """The predicates of a condition and the ANDs and ORs between them."""
    from sqlglot import exp

    waiting = [condition] if condition else []
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren):
            waiting.append(part.this)
            continue
        yield part
        if isinstance(part, exp.Connector):
            waiting += [part.right, part.left]


def _bare(predicate: Expr) -> Expr:
    """A predicate without its NOT, brackets and ESCAPE."""
    from sqlglot import exp

    while isinstance(predicate, (exp.Not, exp.Paren, exp.Escape)):
        predicate = predicate.this
    return predicate


def _subqueries(part: Expr) -> int:
    """Sub-selects in a predicate; those inside another do not count."""
    from sqlglot import exp

    if isinstance(part, exp.Connector):
        return 0
    nodes: Iterable[Expr] = part.walk(prune=lambda node: isinstance(node, exp.Query))
    return sum(isinstance(node, exp.Query) for node in nodes)
