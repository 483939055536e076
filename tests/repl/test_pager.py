from __future__ import annotations

import os
import shutil
import sys

import pytest

from kidtui.repl.pager import show

LINES = [f"row {at} 漢" for at in range(10)]


@pytest.fixture
def terminal(monkeypatch, tmp_path):
    """What takes itself for a terminal, and a function that gives what it shows."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("LESSCHARSET", raising=False)
    screen = tmp_path / "screen"
    with screen.open("w", encoding="utf-8") as out:
        monkeypatch.setattr(out, "isatty", lambda: True)
        yield out, lambda: screen.read_text(encoding="utf-8")


@pytest.fixture
def pager(monkeypatch, tmp_path):
    """Makes a shell script the pager; it may write to the file that is returned."""

    def install(script):
        file = tmp_path / "my pager"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PAGER", f"'{file}' '{tmp_path}/read'")
        return tmp_path / "read"

    return install


def test_more_than_the_screen_holds_is_read_in_a_pager_that_harms_no_file(terminal, pager):
    out, shown = terminal
    read = pager('cat > "$1"; echo "$LESSSECURE $LESSCHARSET" >> "$1"; echo read')
    show(LINES, height=10, out=out)
    assert read.read_text() == "\n".join([*LINES, "1 utf-8", ""])
    assert shown() == "read\n"


def test_what_the_screen_holds_is_printed(terminal, pager):
    out, shown = terminal
    read = pager('cat > "$1"')
    show(LINES, height=11, out=out)
    assert shown() == "\n".join([*LINES, ""])
    assert not read.exists()


def test_a_pipe_never_has_a_pager(monkeypatch, tmp_path, pager):
    monkeypatch.setenv("TERM", "xterm")
    read = pager('cat > "$1"')
    with (tmp_path / "rows").open("w", encoding="utf-8") as out:
        show(iter(LINES), height=3, out=out)
    assert (tmp_path / "rows").read_text(encoding="utf-8") == "\n".join([*LINES, ""])
    assert not read.exists()


@pytest.mark.parametrize("command", ["no-such-pager -S", "", "less '", "/"])
def test_without_a_pager_all_is_printed(terminal, monkeypatch, command):
    out, shown = terminal
    monkeypatch.setenv("PAGER", command)
    show(LINES, height=3, out=out)
    assert shown() == "\n".join([*LINES, ""])


def test_a_terminal_that_moves_no_cursor_has_no_pager(terminal, pager, monkeypatch):
    out, _ = terminal
    read = pager('cat > "$1"')
    monkeypatch.setenv("TERM", "dumb")
    show(LINES, height=3, out=out)
    assert not read.exists()


@pytest.mark.parametrize("script", ["exit 0", "exit 3", "head -n 2", "kill -KILL $$"])
def test_a_pager_that_ends_early_is_no_error(terminal, pager, script, recwarn):
    out, _ = terminal
    pager(script)
    show((f"row {at}" for at in range(200_000)), height=3, out=out)
    show(LINES, height=3, out=out)  # little enough to stand in the pipe when the pager is gone
    assert not recwarn.list


def test_an_interrupt_while_the_pager_is_open_is_for_the_pager(terminal, pager):
    out, _ = terminal
    interrupt = "sleep 0.3; kill -INT $PPID"  # once while rows are written, once while the pipe is closed
    read = pager(
        f'trap "" INT; {interrupt}; {interrupt}; cat > "$1"; {interrupt}; sleep 0.3; echo end >> "$1"'
    )
    show((f"row {at}" for at in range(200_000)), height=3, out=out)
    assert read.read_text().startswith("row 0\nrow 1\n")
    assert read.read_text().endswith("end\n")


def test_less_shows_the_first_screen_and_runs_no_shell():
    pexpect = pytest.importorskip("pexpect")
    if shutil.which("less") is None:
        pytest.skip("there is no less")
    program = (
        "import sys; from kidtui.repl.pager import show\n"
        "show((f'row {at}' for at in range(200000)), height=24, out=sys.stdout); print('back again')"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("PAGER", "LESS")}
    environment["TERM"] = "xterm"
    with pexpect.spawn(sys.executable, ["-c", program], env=environment, timeout=20) as child:
        child.expect_exact("row 22")
        child.send("!")
        child.expect("not available")
        child.send("\r")
        child.expect(":")
        child.send("q")
        child.expect_exact("back again")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0
