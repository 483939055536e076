"""Spider's difficulty, each case a line; the official classes of dev are in tests/conformance."""

from __future__ import annotations

import pytest

from engine.sql.hardness import hardness


@pytest.mark.parametrize(
    ("level", "sql"),
    [
        ("easy", "SELECT count(*) FROM t"),
        ("easy", "SELECT a FROM t WHERE b = 1"),
        ("easy", "SELECT a FROM t WHERE b BETWEEN 1 AND 2"),
        ("easy", "SELECT a FROM t WHERE b = 'x OR y'"),
        ("easy", "SELECT a FROM t JOIN u ON t.a = u.a"),
        # Sub-selects in FROM do not count.
        ("easy", "SELECT count(*) FROM (SELECT a FROM u WHERE b LIKE 'x' ORDER BY c)"),
        # In HAVING an AND counts as an aggregate, and real ones do not.
        ("easy", "SELECT a FROM t GROUP BY a HAVING count(*) > 1 AND avg(b) > 1"),
        ("medium", "SELECT a FROM t GROUP BY a HAVING count(*) > 1 AND avg(b) > 1 AND sum(c) > 1"),
        ("medium", "SELECT a, b FROM t"),
        ("medium", "SELECT a FROM t WHERE b = 1 AND c = 2"),
        ("medium", "SELECT a FROM t WHERE b LIKE 'x'"),
        ("medium", "SELECT a FROM t WHERE b NOT LIKE 'x'"),
        ("medium", "SELECT a FROM t ORDER BY b LIMIT 1"),
        ("medium", "SELECT a, b FROM t GROUP BY a, b"),
        ("medium", "SELECT a FROM t JOIN u ON t.a = u.a WHERE b = 1"),
        ("hard", "SELECT a FROM t JOIN u JOIN v JOIN w"),
        ("hard", "SELECT a FROM t WHERE b = 1 OR c = 2 OR d = 3"),
        ("hard", "SELECT max(a), min(b) FROM t WHERE c = 1 AND d = 2"),
        ("hard", "SELECT a FROM t WHERE b IN (SELECT b FROM u)"),
        ("hard", "SELECT a FROM t UNION SELECT b FROM u"),
        # The left-most block alone counts, and one set operator.
        ("hard", "SELECT a FROM t UNION SELECT a FROM u UNION SELECT a FROM v"),
        ("hard", "SELECT a FROM t EXCEPT SELECT a FROM u WHERE b LIKE 'x' ORDER BY c LIMIT 1"),
        ("extra", "SELECT a FROM t WHERE b IN (SELECT b FROM u) ORDER BY c LIMIT 1"),
        ("extra", "SELECT a FROM t WHERE b > (SELECT a FROM u) AND c > (SELECT a FROM u)"),
        ("extra", "SELECT a, b FROM t WHERE b NOT IN (SELECT b FROM u)"),
        # Two negated predicates count as two aggregates.
        ("easy", "SELECT a FROM t WHERE b NOT IN (1)"),
        ("extra", "SELECT a, b FROM t WHERE b NOT LIKE 'y' AND c NOT LIKE 'x' GROUP BY a"),
        ("hard", "SELECT a, b FROM t WHERE b NOT BETWEEN 1 AND 2 AND c NOT BETWEEN 1 AND 2"),
        ("medium", "SELECT a, b FROM t WHERE b BETWEEN 1 AND 2 AND c NOT BETWEEN 1 AND 2"),
        ("extra", "SELECT a FROM t GROUP BY a HAVING b = 1 OR c = 1 OR d = 1 OR e = 1"),
        ("extra", "no query"),
    ],
)
def test_hardness(level: str, sql: str) -> None:
    assert hardness(sql) == level


def test_a_long_condition_is_no_trouble() -> None:
    assert hardness("SELECT a FROM t WHERE " + " AND ".join(["b = 1"] * 300)) == "medium"
