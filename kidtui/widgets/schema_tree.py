"""A database's tables and columns; those that a query uses are marked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import on
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from kidtui import narrate
from kidtui.cells import shown

_OPEN_AT_FIRST = 60  # columns of a database whose tables are all open
_ROOM = 60
_MOST_COLUMNS = 500  # of one table
_USED, _UNUSED, _UNKNOWN = "●", "·", "✗"

Pair = tuple[str, str]


class SchemaTree(Tree[Pair]):
    """Tables with their columns below. A node's data is (table, column), the column "" for a table."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"schema--used", "schema--unknown", "schema--unused"}
    DEFAULT_CSS = """
    SchemaTree { background: transparent; }
    SchemaTree > .schema--used { color: $success; text-style: bold; }
    SchemaTree > .schema--unknown { color: $error; }
    SchemaTree > .schema--unused { text-style: dim; }
    """

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(Text("…"), id=id, classes=classes)
        self.border_title = "schema"
        self._used: frozenset[Pair] = frozenset()
        self._tables: Mapping[str, Sequence[str]] = {}

    def on_mount(self) -> None:
        self.show_root = False
        self.guide_depth = 2

    def show(self, tables: Mapping[str, Sequence[str]]) -> None:
        """Show a database: table -> its columns."""
        self.clear()
        self._tables, self._used = tables, frozenset()
        self.border_subtitle = f"{narrate.count(len(tables))} tables"
        is_small = sum(map(len, tables.values())) <= _OPEN_AT_FIRST
        for table, columns in tables.items():
            node = self.root.add(Text(shown(table, _ROOM)), (table, ""), allow_expand=bool(columns))
            if is_small:
                self._open(node)
        self.root.expand()

    def mark(
        self, columns: Collection[Pair], tables: Collection[str] = (), unknown: Sequence[str] = ()
    ) -> None:
        """Mark what a query uses, and say which of its names there are not."""
        pairs = {(table.lower(), column.lower()) for table, column in columns}
        self._used = frozenset(pairs | {(table.lower(), "") for table in (*tables, *dict(pairs))})
        for node in list(self.root.children):
            if node.data is None:
                node.remove()
            elif self._is_used(node):
                self._open(node)
        for at, message in enumerate(unknown):
            self.root.add_leaf(Text(shown(message, _ROOM)), before=at)
        self._invalidate()
        if used := next((node for node in self.root.children if self._is_used(node)), None):
            self.call_after_refresh(self.scroll_to_node, used)

    @property
    def copy_text(self) -> str:
        """The tables with their columns, one table a line."""
        return "\n".join(f"{table} ({', '.join(columns)})" for table, columns in self._tables.items())

    def render_label(self, node: TreeNode[Pair], base_style: Style, style: Style) -> Text:
        kind, glyph = "schema--unused", _UNUSED
        if self._is_used(node):
            kind, glyph = "schema--used", _USED
        elif node.data is None:
            kind, glyph = "schema--unknown", _UNKNOWN
        is_table = bool(node.data and not node.data[1])
        fold = ("▾ " if node.is_expanded else "▸ ") if node.allow_expand else ""
        is_plain = is_table and kind == "schema--unused"
        own = Style() if is_plain else self.get_component_rich_style(kind, partial=True)
        label = Text.assemble((fold, base_style), (f"{glyph} ", own + style), style=style)
        name = node.label.copy() if isinstance(node.label, Text) else Text(str(node.label))
        name.stylize(own + style + Style(bold=is_table or kind == "schema--used" or None))
        return label.append_text(name)

    @on(Tree.NodeExpanded)
    def _expanded(self, event: Tree.NodeExpanded[Pair]) -> None:
        self._fill(event.node)

    def _open(self, node: TreeNode[Pair]) -> None:
        self._fill(node)
        node.expand()

    def _fill(self, node: TreeNode[Pair]) -> None:
        """Adds a table's columns, when they are first looked at: there can be very many."""
        if node.children or node.data is None:
            return
        table, _ = node.data
        columns = self._tables[table]
        for column in columns[:_MOST_COLUMNS]:
            node.add_leaf(Text(shown(column, _ROOM)), (table, column))
        if len(columns) > _MOST_COLUMNS:
            node.add_leaf(Text(f"… {narrate.count(len(columns) - _MOST_COLUMNS)} more"), (table, "\0"))

    def _is_used(self, node: TreeNode[Pair]) -> bool:
        return node.data is not None and (node.data[0].lower(), node.data[1].lower()) in self._used
