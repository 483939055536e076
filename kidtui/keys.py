"""The one table of keys: bindings, footer, help and command palette are made from it.

A key's id is where it holds and what it does (`runs.kill`); the config file rebinds by id:

    [keys]
    "runs.kill" = "ctrl+x"
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType
from textual.keys import Keys


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it does.

    keys: one or more, separated by commas, named as Textual does.
    label: for the footer and the palette; none = in the help alone.
    help: a sentence for the help.
    writes: changes something on disk or a process: absent in read-only mode.
    """

    id: str
    keys: str
    label: str
    help: str
    footer: bool = True
    writes: bool = False

    @property
    def where(self) -> str:
        return self.id.partition(".")[0]

    @property
    def action(self) -> str:
        return self.id.partition(".")[2]


PLACES = {
    "app": "everywhere",
    "runs": "Runs",
    "chart": "on a chart",
    "profiles": "Profiles",
    "compare": "Compare",
    "ask": "Ask",
    "scores": "on the evaluation",
    "examples": "Answers",
    "question": "while a question is written",
    "choose": "in a list to choose from",
    "sql": "in SQL of your own",
    "dialog": "in a question",
    "prompt": "in a small form",
}
"""Where keys hold, in the order of the help."""
SCREENS = ("runs", "profiles", "compare", "ask")

KEYS: tuple[Key, ...] = (
    Key("app.show_runs", "1,f1", "Runs", "The runs: list, charts, logs.", footer=False),
    Key("app.show_profiles", "2,f2", "Profiles", "The profiles that runs are made from.", footer=False),
    Key("app.show_compare", "3,f3", "Compare", "The marked runs side by side.", footer=False),
    Key("app.show_ask", "4,f4", "Ask", "Ask a database with a student.", footer=False),
    Key("app.help", "question_mark,f12", "Help", "This help."),
    Key("app.maximise", "z", "Maximise", "The focused pane alone, and back.", footer=False),
    Key("app.next_theme", "T", "Next theme", "The next theme.", footer=False),
    Key("app.copy_focused", "y", "Copy", "Copy what the focused pane shows.", footer=False),
    Key("app.quit", "q", "Quit", "Leave; engines go on running."),
    Key("runs.launch_demo", "d", "Demo", "Start a run of the embedded demo.", footer=False, writes=True),
    Key("runs.new", "n", "New", "Choose a profile to start a run of.", writes=True),
    Key("runs.pause", "p", "Pause", "Hold the run at its next step, or let it go on.", writes=True),
    Key("runs.stop", "s", "Stop", "End the run after this step, with a checkpoint.", writes=True),
    Key("runs.resume", "r", "Resume", "Let a paused run go on; take up one that was not done.", writes=True),
    Key("runs.kill", "x", "Kill", "End its engine at once; asks.", writes=True),
    Key("runs.remove", "delete,D", "Remove", "Delete the run; asks.", footer=False, writes=True),
    Key("runs.mark", "space", "Mark", "Mark the run for Compare, or take the mark away."),
    Key("runs.compare", "c", "Compare", "Compare the marked runs."),
    Key("runs.ask", "a", "Ask", "Ask a database with this run's student."),
    Key("runs.filter", "slash", "Filter", "Only runs with a text in id, profile or state.", footer=False),
    Key("runs.sort", "o", "Sort", "Sort by the next column.", footer=False),
    Key("runs.tab(-1)", "left_square_bracket", "", "The tab before."),
    Key("runs.tab(1)", "right_square_bracket", "", "The tab after."),
    Key("runs.back(-1)", "comma", "", "The rewrite or probes before."),
    Key("runs.back(1)", "full_stop", "", "The rewrite or probes after."),
    Key("runs.leave", "escape", "All runs", "Take the filter away; back to the list.", footer=False),
    Key("scores.open", "enter", "Examples", "The answers behind the scores."),
    Key("examples.next_class", "f", "Error class", "Only the answers of the next error class."),
    Key("examples.copy_answer", "y", "Copy", "Copy the answer that the cursor is on."),
    Key("examples.leave", "escape,q", "Close", "Back to the run."),
    Key("ask.question", "slash,i", "Ask", "Write a question; Enter asks it.", writes=True),
    Key("ask.teacher", "t,ctrl+t", "Teacher", "Ask the teacher the same; show what differs.", writes=True),
    Key("ask.edit_sql", "e", "Edit", "Change the SQL and run it.", writes=True),
    Key("ask.copy_sql", "c", "Copy", "Copy the SQL of the focused pane, else the student's."),
    Key("ask.database", "d,ctrl+o", "DB", "Choose the database."),
    Key("ask.student", "s", "Student", "Choose the student that answers.", writes=True),
    Key("ask.cancel", "escape", "Cancel", "End the answer that is under way; else leave the question."),
    Key("ask.part(-1)", "left_square_bracket", "", "The pane before, where one is shown at a time."),
    Key("ask.part(1)", "right_square_bracket", "", "The pane after."),
    Key("question.turn(-1)", "up", "", "The question that was asked before."),
    Key("question.turn(1)", "down", "", "The question that was asked after it."),
    Key("choose.move(-1)", "up", "", "The one above."),
    Key("choose.move(1)", "down", "", "The one below; Enter takes it."),
    Key("choose.page(-1)", "pageup", "", "A page up."),
    Key("choose.page(1)", "pagedown", "", "A page down."),
    Key("choose.leave", "escape", "Never mind", "Leave all as it is.", footer=False),
    Key("sql.run", "ctrl+r", "Run", "Run the SQL as it is.", footer=False),
    Key("sql.leave", "escape", "Never mind", "Leave the SQL as it was.", footer=False),
    Key("dialog.yes", "y", "Yes", "Do it.", footer=False),
    Key("dialog.no", "n,escape", "No", "Do not.", footer=False),
    Key("prompt.no", "escape", "Never mind", "Leave all as it is.", footer=False),
    Key("chart.cursor(-1)", "left,h", "", "Move the cursor to the value before."),
    Key("chart.cursor(1)", "right,l", "", "Move the cursor to the value after."),
    Key("chart.cursor(-10)", "shift+left,H", "", "Move the cursor far back."),
    Key("chart.cursor(10)", "shift+right,L", "", "Move the cursor far forward."),
    Key("chart.zoom(0.5)", "plus,equals_sign", "Zoom in", "Zoom in around the cursor.", footer=False),
    Key("chart.zoom(2)", "minus", "Zoom out", "Zoom out.", footer=False),
    Key("chart.reset", "0,escape", "Whole range", "Show the whole range, hide the cursor.", footer=False),
    Key("chart.toggle_log", "g", "Log/linear", "Logarithmic or linear scale.", footer=False),
    Key("chart.smoothe", "e", "Smoothing", "More smoothing, then none again.", footer=False),
    Key("profiles.new", "n", "New", "A profile of your own that builds on the chosen one.", writes=True),
    Key("profiles.duplicate", "d", "Duplicate", "A copy of the chosen profile.", writes=True),
    Key("profiles.rename", "R", "Rename", "Another name; others follow.", footer=False, writes=True),
    Key("profiles.delete", "X", "Delete", "Delete the profile's file; asks.", writes=True),
    Key("profiles.fits", "f", "Fits?", "Memory, steps and minutes that a run would take.", writes=True),
    Key("profiles.launch", "L", "Launch", "Start a run of the profile, with overrides.", writes=True),
    Key("profiles.save", "ctrl+s", "Save", "Save the profile, when it is valid.", writes=True),
    Key("profiles.edit_text", "e", "TOML", "Into the TOML text.", footer=False),
    Key("profiles.open", "enter", "", "List: launch. Key: edit its value.", footer=False, writes=True),
    Key("profiles.cycle", "space", "", "The next of a key's choices.", footer=False, writes=True),
    Key("profiles.inherit", "delete,backspace", "", "Leave a key to its base.", footer=False, writes=True),
    Key("profiles.undo", "u", "Undo", "Take back the last change.", footer=False, writes=True),
    Key("profiles.leave", "escape", "", "Back to the keys, then to the list.", footer=False),
    Key("compare.metric", "m", "Metric", "The next metric: loss, its parts, time of a step, speed, EX."),
    Key("compare.axis", "x", "Axis", "Curves by step, by tokens or by seconds."),
    Key("compare.open", "enter", "Open", "Turn to Runs with this run."),
    Key("compare.ask", "a", "Ask", "Ask a database with this run's student."),
    Key("compare.unmark", "u,delete", "Unmark", "Take this run out of the comparison."),
    Key("compare.mark_newest", "n", "Newest two", "Mark the two newest runs that have ended."),
)  # fmt: skip
"""Every key of every screen."""


def of(where: str) -> Iterator[Key]:
    """The keys that hold in a place."""
    return (key for key in KEYS if key.where == where)


def bindings(where: str) -> list[BindingType]:
    """A place's keys as Textual wants them."""
    return [
        Binding(
            key.keys, key.action, key.label, show=key.footer and bool(key.label), tooltip=key.help, id=key.id
        )
        for key in of(where)
    ]


def names(key: Key, rebound: Mapping[str, str]) -> list[str]:
    """What a key is called where some are bound anew (id → keys)."""
    return [name.strip() for name in rebound.get(key.id, key.keys).split(",")]


def clash(rebound: Mapping[str, str]) -> str:
    """What is wrong with other keys (id → keys): a name that is none or is taken; "" for nothing."""
    for name, bound in rebound.items():
        for one in bound.split(","):
            if not _is_key(one.strip()):
                return f'"{name}" = "{bound}": there is no key "{one.strip()}"'
    for place in SCREENS:
        taken: dict[str, str] = {}
        for key in (*of(place), *of("app")):
            for name in names(key, rebound):
                other = taken.setdefault(name, key.id)
                if other != key.id:
                    return f'"{key.id}" and "{other}" have the same key, {name}'
    return ""


def _is_key(name: str) -> bool:
    base = name.rpartition("+")[2]
    if len(base) == 1 or base in {key.value for key in Keys}:
        return True
    try:
        unicodedata.lookup(base.replace("_", " ").upper())
    except KeyError:
        return base in ("plus", "minus", "slash", "backslash")
    return bool(base)


_WRITING = frozenset((key.where, key.action.partition("(")[0]) for key in KEYS if key.writes)


def writes(where: str, action: str) -> bool:
    """Whether an action of a place changes something."""
    return (where, action) in _WRITING
