"""The SELECTs that can be asked of one database: a grammar in Lark's notation, as llguidance reads it. Pure.

A query of this grammar names tables and columns of the schema only, qualified by a table that has the
column, or by an alias (of three letters and two digits at most). It cannot know what an alias stands for, nor
what is in scope: SQLite may still find a column unknown or ambiguous. Names that a query makes itself are
free where they are used in practice:

* behind `AS` in a select list, and from there in its GROUP BY, HAVING and ORDER BY;
* everywhere in a query that begins with WITH, for tables and columns.

Left out: comments, VALUES, row values, blobs, JSON, table-valued functions, `rowid`, blanks around dots, and
a keyword that touches the bracket or text before it. The columns that a sub-query in FROM makes can only be
had by `*`.

How it is written: every lexeme brings its own blanks, one in a place at most, because blanks without end let
a model loop. The lexer takes the longest lexeme and never goes back. So where one lexeme begins like another,
what may follow the shorter must differ from how the longer goes on. A lexeme of one blank before ORDER BY,
for example, would never end where an alias, too, may bring a blank and an O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from engine.errors import DatabaseError

RESERVED = (
    "add all alter and as autoincrement between case cast check collate commit constraint create"
    " current_date current_time current_timestamp default deferrable delete distinct drop else escape except"
    " exists foreign from group having in index insert intersect into is isnull join limit not nothing"
    " notnull null on or order primary raise references returning select set table then to transaction union"
    " unique update using values when where"
)
"""Keywords that SQLite takes for a name only in quotes."""
_OTHER_KEYWORDS = (
    "abort action after always analyze asc attach before begin by cascade column conflict cross current"
    " database deferred desc detach do each end exclude exclusive explain fail false filter first following"
    " for full generated glob groups if ignore immediate indexed initially inner instead key last left like"
    " match materialized natural no nulls of offset others outer over partition plan pragma preceding query"
    " range recursive regexp reindex release rename replace restrict right rollback row rows savepoint temp"
    " temporary ties trigger true unbounded vacuum view virtual window with without"
)

AGGREGATES = "avg count group_concat max min sum total"
FUNCTIONS: dict[tuple[int, int | None], str] = {
    (0, 0): "pi random",
    (1, 1): "abs ceil ceiling exp floor hex length ln log10 log2 lower quote sign sqrt typeof unicode upper",
    (1, 2): "log ltrim round rtrim trim",
    (1, None): "char date datetime format julianday printf strftime time unixepoch",
    (2, 2): "group_concat ifnull instr mod nullif pow power",
    (2, 3): "substr substring",
    (2, None): "coalesce max min",
    (3, 3): "iif replace",
}
"""SQLite's other functions by the least and the greatest number of arguments; None = any."""
WINDOW_FUNCTIONS: dict[tuple[int, int | None], str] = {
    (0, 0): "cume_dist dense_rank percent_rank rank row_number",
    (1, 1): "first_value last_value ntile",
    (1, 3): "lag lead",
    (2, 2): "nth_value",
}

# '…' is a regular expression whose letters have no case. What ends in @ is written once for each scope:
# "" knows the schema's names; "_n" those of the select list, too; "_w" those of a WITH, too.
# # is the scope behind an AS in the select list, $ that of a sub-query.
_START = """
start: (query | 'WITH ' 'RECURSIVE '? cte (COMMA cte)* " " query_w) END?
cte: MADE (LEFT MADE (COMMA MADE)* RIGHT)? ' AS' LEFT query_w RIGHT
limit: ' LIMIT ' INTEGER ((' OFFSET ' | COMMA) INTEGER)?
alias: ' AS ' ALIAS | BLANK_ALIAS
made: ' AS ' (MADE | TEXT)
made_alias: ' AS ' MADE | BLANK_MADE
table: TABLE
table_w: TABLE | MADE
star: STAR
star_w: STAR | MADE_STAR
ref: COLUMN
ref_n: COLUMN | MADE
ref_w: COLUMN | MADE | MADE_QUALIFIED
"""

_QUERY = """
query@: core@ more@* order@? limit? | made_core@ more@* order#? limit?
more@: ' (UNION (ALL )?|INTERSECT |EXCEPT )' (core@ | made_core@)
core@: select@ from@ where@? group@? | 'SELECT ' closed@ (COMMA closed@)*
made_core@: (first@ | select@ COMMA expr@) made (COMMA item@ | COMMA expr@ made)* from@ where@? group#?
select@: (first@ | 'SELECT ' 'DISTINCT '? star@) (COMMA item@)*
first@: 'SELECT ' ('DISTINCT '? expr@ | 'DISTINCT' bexpr@)
item@: expr@ | star@
closed@: unit@ (ARITHMETIC unit@)*
unit@: LEFT query@ RIGHT | NUMBER | TEXT
from@: (' FROM ' source@ | ' FROM' derived@) joined@*
joined@: COMMA source@ | JOIN source@ (' ON ' expr@ | ' ON' bexpr@ | ' USING' LEFT NAME (COMMA NAME)* RIGHT)?
source@: table@ alias? | derived@
derived@: LEFT query@ RIGHT made_alias?
"""

_EXPRESSION = """
where@: ' WHERE ' expr@ | ' WHERE' bexpr@
group@: ' GROUP BY ' exprs@ (' HAVING ' expr@ | ' HAVING' bexpr@)?
order@: ' ORDER BY ' sorts@
sorts@: sort@ (COMMA sort@)*
sort@: expr@ ' (ASC|DESC)'? ' NULLS (FIRST|LAST)'?
exprs@: expr@ (COMMA expr@)*
expr@: test@ logic@*
bexpr@: btest@ logic@*
logic@: ' (AND|OR) ' test@ | ' (AND|OR)' btest@
test@: 'NOT '? sum@ compare@? | 'NOT' btest@
btest@: bracket@ (ARITHMETIC primary@)* compare@?
compare@: COMPARISON sum@ | ' IS ' 'NOT '? sum@ | ' (NOTNULL|ISNULL|NOT NULL)'
    | ' (NOT )?IN' LEFT (query$ | exprs@) RIGHT
    | ' (NOT )?BETWEEN ' sum@ ' AND ' sum@ | ' (NOT )?GLOB ' sum@ | ' (NOT )?LIKE ' sum@ (' ESCAPE ' ESCAPE)?
sum@: SIGN? primary@ (ARITHMETIC primary@)* ' COLLATE (NOCASE|BINARY|RTRIM)'?
primary@: bracket@ | ref@ | NUMBER | TEXT | 'NULL|TRUE|FALSE|CURRENT_(DATE|TIME|TIMESTAMP)' | call@ | case@
    | 'EXISTS' LEFT query$ RIGHT | 'CAST' LEFT expr@ ' AS ' TYPE RIGHT
bracket@: LEFT (expr@ | query$) RIGHT
case@: 'CASE ' ('WHEN ' | expr@ ' WHEN ') then@ (' WHEN ' then@)* (' ELSE ' expr@)? ' END'
then@: expr@ ' THEN ' expr@
over@: ' OVER' LEFT ('PARTITION BY ' exprs@ order@? | 'ORDER BY ' sorts@)? FRAME? RIGHT
"""

_TERMINALS = r"""
END: / ?;/
LEFT: / ?\( ?/
RIGHT: / ?\)/
COMMA: / ?, ?/
COMPARISON: / ?(=|==|!=|<>|<|<=|>|>=) ?/
ARITHMETIC: / ?(\+|-|\*|\x{2f}|%|\|\||&|\||<<|>>) ?/
SIGN: /[-+~]/
INTEGER: /[0-9]{1,18}/
NUMBER: /([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][-+]?[0-9]{1,3})?/
TEXT: /\x27([^\x27\x00-\x1f]|\x27\x27)*\x27|"([^"\x00-\x1f]|"")*"/
ESCAPE: /\x27[^\x27\x00-\x1f]\x27/
JOIN: ' (NATURAL )?(CROSS |INNER |(LEFT|RIGHT|FULL) (OUTER )?)?JOIN '
TYPE: SORT (/\([0-9]{1,3}(, ?[0-9]{1,3})?\)/)?
SORT: 'BIGINT|CHAR|DATE|DATETIME|DECIMAL|DOUBLE|FLOAT|INT|INTEGER|NUMERIC|REAL|TEXT|VARCHAR'
FRAME: ' (ROWS|RANGE|GROUPS) (BOUND|BETWEEN BOUND AND BOUND)'
STAR: "*" | (ALIAS | TABLE) ".*"
ALIAS: /[a-zA-Z_]{1,3}[0-9]{0,2}/ & ~TAKEN
BLANK_ALIAS: " " ALIAS
MADE: /[a-zA-Z_][a-zA-Z0-9_]{0,39}/ & ~KEYWORD
BLANK_MADE: " " MADE
MADE_QUALIFIED: MADE "." (MADE | NAME)
MADE_STAR: MADE ".*"
TAKEN: KEYWORD | TABLE
"""
_BOUND = "(UNBOUNDED PRECEDING|[0-9]{1,3} PRECEDING|CURRENT ROW|[0-9]{1,3} FOLLOWING|UNBOUNDED FOLLOWING)"


def select_grammar(schema: Mapping[str, Sequence[str]]) -> str:
    """The grammar for one database.

    Args:
        schema: table -> its columns, as the database spells them.

    Raises:
        DatabaseError: there is no column, so nothing can be asked.
    """
    tables = {table: columns for table, columns in schema.items() if columns}
    if not tables:
        raise DatabaseError("the database has no table to ask about", "name another database")
    return "\n".join(
        [
            _written(_START),
            *(_scoped(_QUERY, scope) for scope in ("", "_w")),
            *(_scoped(_EXPRESSION + _calls(), scope) for scope in ("", "_n", "_w")),
            _written(_TERMINALS.replace("BOUND", _BOUND)),
            _written(f"KEYWORD: {_words(RESERVED)} | {_words(_OTHER_KEYWORDS)}"),
            *_names(tables),
        ]
    )


def _scoped(rules: str, scope: str) -> str:
    within = "" if scope == "_n" else scope
    return _written(rules.replace("@", scope).replace("#", scope or "_n").replace("$", within))


def _written(rules: str) -> str:
    """Lark's own notation: '…' as a regular expression."""
    return re.sub(r"'([^']*)'", lambda quoted: f"/{_any_case(quoted[1])}/", rules)


def _any_case(pattern: str) -> str:
    """The pattern with ASCII letters in both cases. Unicode would have `ſ` stand for `s`; SQLite has not."""
    return f"(?i-u:{pattern})"


def _calls() -> str:
    """The rules for function calls: what takes how many arguments, what may or must look through a window."""
    calls = [
        "'COUNT' LEFT \"*\" RIGHT over@?",
        f"{_words(AGGREGATES)} LEFT ('DISTINCT '? expr@ | 'DISTINCT' bexpr@) RIGHT over@?",
    ]
    for functions, window in ((FUNCTIONS, ""), (WINDOW_FUNCTIONS, " over@")):
        calls += [
            f"{_words(names)} LEFT {_arguments(*num)} RIGHT{window}" for num, names in functions.items()
        ]
    return "call@: " + "\n    | ".join(calls) + "\n"


def _words(names: str) -> str:
    return f"'{names.replace(' ', '|')}'"


def _arguments(least: int, most: int | None) -> str:
    if most == 0:
        return ""
    more = "*" if most is None else f"{{0,{most - least}}}"
    return "expr@" + " COMMA expr@" * (least - 1) + (f" (COMMA expr@){more}" if most != least else "")


def _names(tables: Mapping[str, Sequence[str]]) -> list[str]:
    """The terminals that depend on the schema."""
    columns = dict.fromkeys(column for own in tables.values() for column in own)
    qualified = "|".join(rf"{_spellings([table])}\.{_spellings(own)}" for table, own in tables.items())
    return [
        f"TABLE: /{_spellings(tables)}/",
        f"NAME: /{_spellings(columns)}/",
        f'COLUMN: /{_spellings(columns, alone=True)}/ | ALIAS "." NAME | /{qualified}/',
    ]


def _spellings(names: Iterable[str], alone: bool = False) -> str:
    """A regular expression of all ways to write the names.

    Args:
        alone: they stand where a text may stand, which `"name"` is read as.
    """
    names = list(names)
    ways = {
        "{}": [name for name in names if _can_stand_bare(name)],
        "`{}`": [name.replace("`", "``") for name in names],
        '"{}"': [] if alone else [name.replace('"', '""') for name in names],
        r"\[{}\]": [name for name in names if "]" not in name],
    }
    return f"({'|'.join(way.format(_one_of(inner)) for way, inner in ways.items() if inner)})"


def _can_stand_bare(name: str) -> bool:
    return bool(re.fullmatch(r"[^\W\d]\w*", name)) and name.lower() not in RESERVED.split()


def _one_of(texts: Iterable[str]) -> str:
    return _any_case("|".join(re.sub(r"[\x00-\x7f]", _literally, text) for text in texts))


def _literally(character: re.Match[str]) -> str:
    return character[0] if character[0].isalnum() else rf"\x{{{ord(character[0]):x}}}"
