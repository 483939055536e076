"""Kinds of questions that join two or three tables, or look into a second one."""

from __future__ import annotations

from engine.data.demo.kind import Kind
from engine.data.demo.phrasings import asking, counting, grouping, listing
from engine.data.demo.scopes import link_numbers, links, paths
from engine.data.demo.terms import (
    MORE_OR_FEWER,
    aggregates,
    column,
    columns,
    everyday,
    named,
    numerals,
    owned,
    selections,
)

JOIN = "FROM {p_table} AS T1 JOIN {c_table} AS T2 ON T1.id = T2.{fk}"
JOIN_TWO = "FROM {a} AS T1 JOIN {b} AS T2 ON T1.id = T2.{fk} JOIN {c} AS T3 ON {on}"

SEVERAL_TABLES = (
    Kind(
        "join_named",
        links,
        f"SELECT {{sel}} {JOIN} WHERE {{cond}}",
        listing("{of} the {cond}"),
        lambda link: {"sel": selections(link.child, "T2."), "cond": named(link.parent, "T1.")},
    ),
    Kind(
        "join_owner",
        links,
        f"SELECT {{sel}} {JOIN} WHERE {{cond}}",
        asking("{sel} of the {owner} that the {cond} belongs to"),
        lambda link: {"sel": selections(link.parent, "T1."), "cond": named(link.child, "T2.")},
    ),
    Kind(
        "join_where",
        links,
        f"SELECT {{sel}} {JOIN} WHERE {{cond}}",
        listing("{of} {owners} whose {cond}"),
        lambda link: {"sel": selections(link.child, "T2."), "cond": everyday(link.parent, "T1.")},
    ),
    Kind(
        "join_columns",
        links,
        f"SELECT {{mine}}, {{theirs}} {JOIN}",
        (
            "List the {mine} and {theirs} of all {many}.",
            "Show the {mine} and the {theirs} of every {one}.",
            "For each {one}, give the {mine} and {theirs}.",
            "What is the {mine} and {theirs} of each {one}?",
        ),
        lambda link: {"mine": owned(link.parent, "T1."), "theirs": owned(link.child, "T2.")},
    ),
    Kind(
        "join_count",
        links,
        f"SELECT count(*) {JOIN} WHERE {{cond}}",
        counting("{many} {of} the {cond}"),
        lambda link: {"cond": named(link.parent, "T1.")},
    ),
    Kind(
        "join_group",
        links,
        f"SELECT {{sel}}, count(*) {JOIN} GROUP BY T1.id",
        (
            "Show the {sel} and the number of {many} of each {owner} that has any.",
            "For each {owner} with {many}, give the {sel} and the number of {many}.",
            "List the {sel} of all {owners} with {many} and how many {many} they have.",
            "What is the {sel} and the number of {many} of every {owner} with {many}?",
        ),
        lambda link: {"sel": selections(link.parent, "T1.")},
    ),
    Kind(
        "join_having",
        links,
        f"SELECT {{sel}} {JOIN} GROUP BY T1.id HAVING count(*) {{op}} {{n}}",
        listing("with {op} {n} {many}", "{owner}", "{owners}"),
        lambda link: {"sel": selections(link.parent, "T1."), "op": MORE_OR_FEWER, "n": numerals(2, 5)},
    ),
    Kind(
        "join_most",
        links,
        f"SELECT {{sel}} {JOIN} GROUP BY T1.id ORDER BY count(*) DESC LIMIT 1",
        (
            *asking("{sel} of the {owner} with the most {many}"),
            "What {sel} does the {owner} with the most {many} have?",
        ),
        lambda link: {"sel": selections(link.parent, "T1.")},
    ),
    Kind(
        "join_aggregate",
        link_numbers,
        f"SELECT {{agg}}({{num}}) {JOIN} WHERE {{cond}}",
        asking("{agg} {num} of {many} {of} the {cond}"),
        lambda thing: {"agg": aggregates(thing[1]), "cond": named(thing[0].parent, "T1.")},
    ),
    Kind(
        "join_group_aggregate",
        link_numbers,
        f"SELECT {{cat}}, {{agg}}({{num}}) {JOIN} GROUP BY {{cat}}",
        grouping("{agg} {num} of {many}", "{owner} {cat}"),
        lambda thing: {
            "agg": aggregates(thing[1]),
            "cat": [column(c, "T1.") for c in thing[0].parent.categories],
        },
    ),
    Kind(
        "in_subquery",
        links,
        "SELECT {sel} FROM {p_table} WHERE id IN (SELECT {fk} FROM {c_table} WHERE {cond})",
        listing("with at least one {one} whose {cond}", "{owner}", "{owners}"),
        lambda link: {"sel": selections(link.parent), "cond": everyday(link.child)},
    ),
    Kind(
        "not_in",
        links,
        "SELECT {sel} FROM {p_table} WHERE id NOT IN (SELECT {fk} FROM {c_table})",
        (
            *listing("without any {one}", "{owner}", "{owners}"),
            *listing("with no {one}", "{owner}", "{owners}"),
        ),
        lambda link: {"sel": selections(link.parent)},
    ),
    Kind(
        "two_joins",
        paths,
        f"SELECT {{sel}} {JOIN_TWO} WHERE {{cond}}",
        listing("{near} {via} {of} the {cond}", "{last}", "{lasts}"),
        lambda ends: {"sel": columns(ends[1], "T3."), "cond": named(ends[0], "T1.")},
    ),
    Kind(
        "two_joins_back",
        paths,
        f"SELECT {{sel}} {JOIN_TWO} WHERE {{cond}}",
        listing("with {via} {far} the {cond}", "{first}", "{firsts}"),
        lambda ends: {"sel": columns(ends[0], "T1."), "cond": named(ends[1], "T3.")},
    ),
    Kind(
        "two_joins_columns",
        paths,
        f"SELECT {{mine}}, {{theirs}} {JOIN_TWO}",
        (
            "List the {mine} and {theirs} of all {lowests}.",
            "Show the {mine} and the {theirs} of every {lowest}.",
            "For each {lowest}, give the {mine} and {theirs}.",
            "What is the {mine} and {theirs} of each {lowest}?",
        ),
        lambda ends: {"mine": owned(ends[0], "T1."), "theirs": owned(ends[1], "T3.")},
    ),
)
