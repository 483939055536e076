"""Kinds of questions about a single table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from engine.data.demo.databases import Table
from engine.data.demo.kind import Kind
from engine.data.demo.phrasings import asking, choosing, counting, grouping, listing
from engine.data.demo.scopes import categories, category_numbers, keys, numbers, tables
from engine.data.demo.terms import (
    MORE_OR_FEWER,
    ORDERS,
    Conditions,
    Term,
    above,
    after_or_before,
    aggregates,
    below,
    between,
    both,
    columns,
    differs,
    either,
    equals,
    everyday,
    extremes,
    in_year,
    is_null,
    like,
    named,
    numerals,
    one_of,
    said,
    selections,
    some,
    two_columns,
)

WHERE = "SELECT {sel} FROM {table} WHERE {cond}"


def where(name: str, conditions: Conditions) -> Kind:
    return Kind(
        name,
        tables,
        WHERE,
        listing("whose {cond}"),
        lambda t: {"sel": selections(t), "cond": some(conditions(t, ""), 40)},
    )


def counted(name: str, conditions: Conditions) -> Kind:
    return Kind(
        name,
        tables,
        "SELECT count(*) FROM {table} WHERE {cond}",
        counting("{many} whose {cond}"),
        lambda t: {"cond": conditions(t, "")},
    )


def compared(table: Table, alias: str = "") -> Iterator[Term]:
    return chain(above(table, alias), below(table, alias), after_or_before(table, alias))


ONE_TABLE = (
    Kind(
        "count", tables, "SELECT count(*) FROM {table}", (*counting("{many}"), "How many {many} do we have?")
    ),
    Kind(
        "list", tables, "SELECT {sel} FROM {table}", listing("in the database"), lambda t: {"sel": columns(t)}
    ),
    Kind(
        "list_two",
        tables,
        "SELECT {sel} FROM {table}",
        listing("in the database"),
        lambda t: {"sel": two_columns(t)},
    ),
    Kind(
        "distinct",
        categories,
        "SELECT DISTINCT {cat} FROM {table}",
        (
            "What are the different {cats} of {many}?",
            "List the distinct {cats} of {many}.",
            "Which different {cats} do the {many} have?",
            "Show each different {cat} of the {many} once.",
        ),
    ),
    Kind(
        "count_distinct",
        categories,
        "SELECT count(DISTINCT {cat}) FROM {table}",
        (
            "How many different {cats} do the {many} have?",
            "Count the different {cats} of {many}.",
            "What is the number of distinct {cats} of {many}?",
            "How many distinct {cats} of {many} are there?",
        ),
    ),
    Kind(
        "lookup",
        tables,
        WHERE,
        asking("{sel} of the {cond}"),
        lambda t: {"sel": selections(t), "cond": named(t)},
    ),
    where("where_equals", equals),
    where("where_not", differs),
    where("where_above", above),
    where("where_below", below),
    where("where_between", between),
    where("where_like", like),
    where("where_in", one_of),
    where("where_null", is_null),
    where("where_date", after_or_before),
    where("where_year", in_year),
    where("where_and", both),
    where("where_or", either),
    counted("count_equals", equals),
    counted("count_compared", compared),
    Kind(
        "order",
        keys,
        "SELECT {sel} FROM {table} ORDER BY {key} {order}",
        listing("sorted by {key} {order}"),
        lambda thing: {"sel": selections(thing[0]), "order": ORDERS},
    ),
    Kind(
        "first",
        keys,
        "SELECT {sel} FROM {table} ORDER BY {key} {end} LIMIT 1",
        asking("{sel} of the {one} with the {end} {key}"),
        lambda thing: {"sel": selections(thing[0]), "end": extremes(thing[1])},
    ),
    Kind(
        "top",
        keys,
        "SELECT {sel} FROM {table} ORDER BY {key} {end} LIMIT {k}",
        asking("{sel} of the {k} {many} with the {end} {key}"),
        lambda thing: {"sel": selections(thing[0]), "end": extremes(thing[1]), "k": numerals(2, 6)},
    ),
    Kind(
        "aggregate",
        numbers,
        "SELECT {agg}({num}) FROM {table}",
        (*asking("{agg} {num} of all {many}"), "What {agg} {num} do the {many} have?"),
        lambda thing: {"agg": aggregates(thing[1])},
    ),
    Kind(
        "aggregate_two",
        numbers,
        "SELECT {agg}({num}), {agg2}({num}) FROM {table}",
        asking("{agg} and {agg2} {num} of all {many}"),
        lambda thing: {"agg": aggregates(thing[1]), "agg2": aggregates(thing[1])},
    ),
    Kind(
        "aggregate_where",
        numbers,
        "SELECT {agg}({num}) FROM {table} WHERE {cond}",
        asking("{agg} {num} of {many} whose {cond}"),
        lambda thing: {"agg": aggregates(thing[1]), "cond": everyday(thing[0])},
    ),
    Kind(
        "group_count",
        categories,
        "SELECT {cat}, count(*) FROM {table} GROUP BY {cat}",
        (*grouping("number of {many}", "{cat}"), "How many {many} are there for each {cat}?"),
    ),
    Kind(
        "group_aggregate",
        category_numbers,
        "SELECT {cat}, {agg}({num}) FROM {table} GROUP BY {cat}",
        grouping("{agg} {num} of {many}", "{cat}"),
        lambda c: {"agg": aggregates(c)},
    ),
    Kind(
        "group_most",
        categories,
        "SELECT {cat} FROM {table} GROUP BY {cat} ORDER BY count(*) {end} LIMIT 1",
        ("Which {cat} has the {end} {many}?", *asking("{cat} with the {end} {many}")),
        lambda t: {"end": [said("DESC", "most"), said("ASC", "fewest")]},
    ),
    Kind(
        "group_order",
        category_numbers,
        "SELECT {cat} FROM {table} GROUP BY {cat} ORDER BY {agg}({num}) {order}",
        (
            "List the {cats} of {many} sorted by {agg} {num} {order}.",
            "Show each {cat} of {many} sorted by {agg} {num} {order}.",
            "Order the {cats} of {many} by {agg} {num} {order}.",
            "What are the {cats} of {many} sorted by {agg} {num} {order}?",
        ),
        lambda c: {"agg": aggregates(c), "order": ORDERS},
    ),
    Kind(
        "having_count",
        categories,
        "SELECT {cat} FROM {table} GROUP BY {cat} HAVING count(*) {op} {n}",
        choosing("{op} {n} {many}"),
        lambda t: {"op": MORE_OR_FEWER, "n": numerals(2, 6)},
    ),
    Kind(
        "nested_extreme",
        numbers,
        "SELECT {sel} FROM {table} WHERE {num} = (SELECT {agg}({num}) FROM {table})",
        listing("whose {num} is equal to the {agg}"),
        lambda thing: {"sel": selections(thing[0]), "agg": [said("max", "maximum"), said("min", "minimum")]},
    ),
    Kind(
        "nested_average",
        numbers,
        "SELECT {sel} FROM {table} WHERE {num} {op} (SELECT avg({num}) FROM {table})",
        listing("whose {num} is {op} the average"),
        lambda thing: {
            "sel": selections(thing[0]),
            "op": [said(">", "above", "greater than"), said("<", "below", "less than")],
        },
    ),
    Kind(
        "intersect",
        categories,
        "SELECT {cat} FROM {table} WHERE {cond} INTERSECT SELECT {cat} FROM {table} WHERE {other}",
        choosing("both {many} whose {cond} and {many} whose {other}"),
        lambda t: {"cond": some(compared(t), 24), "other": some(compared(t), 24)},
    ),
    Kind(
        "except",
        categories,
        "SELECT {cat} FROM {table} EXCEPT SELECT {cat} FROM {table} WHERE {cond}",
        choosing("{many} but none whose {cond}"),
        lambda t: {"cond": compared(t)},
    ),
    Kind(
        "union",
        tables,
        "SELECT {sel} FROM {table} WHERE {cond} UNION SELECT {sel} FROM {table} WHERE {other}",
        listing("whose {cond} together with those whose {other}"),
        lambda t: {"sel": columns(t)[:2], "cond": everyday(t), "other": everyday(t)},
    ),
)
