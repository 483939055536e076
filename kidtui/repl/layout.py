"""SQL laid out for reading. Only blanks change: what is shown is what is run."""

from __future__ import annotations

from engine.sql.text import tokens

_CLAUSES = {"from", "where", "group", "having", "order", "limit", "window", "union", "intersect", "except"}
_SET_OPERATORS = {"union", "intersect", "except", "all"}
_JOINS = {"natural", "left", "right", "full", "inner", "outer", "cross", "join"}


def lay_out(sql: str, width: int) -> list[str]:
    """One line where that fits, else one for each clause outside of brackets."""
    if len(sql) <= width:
        return [sql]
    lines, line, depth, before = [], "", 0, ""
    for kind, text in tokens(sql):
        word = text.lower() if kind == "word" else ""
        depth += {"(": 1, ")": -1}.get(text, 0)
        begins = word in _CLAUSES or (word in _JOINS and before not in _JOINS)
        second = word == "select" and before in _SET_OPERATORS
        if depth == 0 and (begins or second):
            lines.append(line.rstrip())
            line = "  " if word in _JOINS else ""
        line += " " if kind == "gap" else text
        before = word or (before if kind == "gap" else "")
    return [text for text in (*lines, line.rstrip()) if text.strip()]
