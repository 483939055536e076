"""One run's past: what is kept of it, and what becomes of files that are damaged, cut or gone."""

from __future__ import annotations

import json
import shutil
import threading
from typing import Any

import pytest

from engine import event_reader, profile, runs
from engine.errors import RunError
from engine.event_reader import EventReader
from engine.runs import Run
from kidtui import history as history_module
from kidtui.history import GONE, History, LogLine
from kidtui.monitor import Monitor
from kidtui.series import Curve, Series
from kidtui.watch import Progress

PROFILE = profile.Profile.model_validate({"name": "t", "student": {"model": "m"}, "method": {"name": "sft"}})


@pytest.fixture
def run() -> Run:
    return runs.create(PROFILE, ["kid", "distill"])


def write(run: Run, *events: dict[str, Any], generation: int = 1) -> None:
    with run.events_path(generation).open("a") as file:
        file.writelines(json.dumps({"v": 1, "time": 5.0, **event}) + "\n" for event in events)


def step(number: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": 1.0, **fields}


def first_word(line: LogLine) -> str:
    return line.words.split()[0]


def read(run: Run) -> History:
    history = History(run)
    history.poll()
    return history


# --- the reader ---


def test_a_budget_is_kept_and_nothing_is_left_out(run: Run) -> None:
    write(run, *(step(at) for at in range(300)))
    write(run, *(step(at) for at in range(300, 310)), generation=2)
    reader = EventReader(run)
    got = [reader.poll(1000)]
    assert 5 < len(got[0]) < 20
    while reader.behind:
        got.append(reader.poll(1000))
    assert [event["step"] for events in got for event in events] == list(range(310))
    assert all(events for events in got[:-1])
    reader = EventReader(run)
    assert len(reader.poll()) == 310
    assert not reader.behind


def test_a_line_longer_than_the_budget_is_read_whole(run: Run) -> None:
    write(run, step(1, text="x" * 5000), step(2))
    reader = EventReader(run)
    assert [event["step"] for _ in range(9) for event in reader.poll(100)] == [1, 2]


def test_a_place_to_begin_at(run: Run) -> None:
    write(run, step(1))
    reader = EventReader(run)
    reader.poll()
    write(run, step(2))
    assert [event["step"] for event in EventReader(run, *reader.position).poll()] == [2]


def test_a_line_without_end_takes_no_memory_and_is_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_reader, "_MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr(event_reader, "_CHUNK_BYTES", 1000)
    write(run, step(1))
    reader = EventReader(run)
    assert len(reader.poll()) == 1
    with run.events_path(1).open("a") as file:
        for _ in range(9):
            file.write("x" * 4000)
            file.flush()
            assert reader.poll() == []
        assert reader.position[1] > 30_000
        file.write('y\n{"kind": "after"}\n{"kind": "half')
    assert [event["kind"] for event in reader.poll()] == ["after"]
    assert reader.num_skipped == 1


def test_lines_that_are_json_only_together_are_no_events(run: Run) -> None:
    run.events_path(1).write_text(
        '{"kind": "a", "of": [{}\n{}]}\n{"kind": "b"}\n{"kind": "c"},{"kind": "d"},{"kind": "e"}\n'
        '{"kind": "f"}\r\n'
    )
    reader = EventReader(run)
    assert [event["kind"] for event in reader.poll()] == ["b", "f"]
    assert reader.num_skipped == 3


def test_numbers_that_are_not_finite(run: Run) -> None:
    run.events_path(1).write_text('{"kind": "a", "x": NaN}\n{"kind": "b", "x": -Infinity}\n{"kind": "c"}\n')
    reader = EventReader(run)
    assert [event["kind"] for event in reader.poll()] == ["c"]
    assert reader.num_skipped == 2


def test_a_file_that_was_cut_is_read_from_its_start(run: Run) -> None:
    write(run, step(1), step(2))
    reader = EventReader(run)
    reader.poll()
    run.events_path(1).write_text('{"kind": "new"}\n')
    assert [event["kind"] for event in reader.poll()] == ["new"]
    assert reader.num_restarts == 1


def test_no_error_of_the_system_comes_out(run: Run) -> None:
    run.events_path(1).mkdir()
    with pytest.raises(RunError, match=r"cannot read .*events.1.jsonl: Is a directory"):
        EventReader(run).poll()
    shutil.rmtree(run.path)
    with pytest.raises(RunError, match=r"directory of run .* is gone"):
        EventReader(run).poll()


# --- what is kept ---


def test_a_run_from_its_start(run: Run) -> None:
    history = History(run)
    assert history.snapshot().behind
    history.poll()
    assert (history.snapshot().behind, history.lines(), history.names()) == (False, (), ())
    write(run, {"kind": "run_start", "profile": "t", "total_steps": 9}, step(1), step(2, ms={"total": 7}))
    assert history.poll()
    told = history.snapshot()
    assert told.view.progress == Progress("training", 2, 9)
    assert told.view.step["step"] == 2
    assert (told.num_events, told.num_skipped, told.problem) == (3, 0, "")
    assert [first_word(line) for line in history.lines()[1:]] == ["step", "step"]
    assert history.lines()[1].time == 5.0
    assert history.lines()[1].words.startswith("step 1  loss 1.000")
    assert history.names() == ("loss", "ms.total")
    assert history.curve("loss", 10).xs == (1.0, 2.0)
    assert (history.recent("loss"), history.recent("ms.total")) == ((1.0, 1.0), (7.0,))


def test_the_same_snapshot_until_something_changes(run: Run) -> None:
    write(run, step(1))
    history = read(run)
    told = history.snapshot()
    assert not history.poll()
    assert history.snapshot() is told
    write(run, step(2))
    history.poll()
    assert history.snapshot() is not told
    with run.events_path(1).open("a") as file:
        file.write("garbage\n")
    assert history.poll()
    assert history.snapshot().num_skipped == 1


def test_steps_push_no_other_events_out_and_all_stay_in_order(run: Run) -> None:
    for at in range(3):
        others = [{"kind": "checkpoint", "step": 1000 * at + n, "path": "p"} for n in range(400)]
        write(run, *others, *(step(1000 * at + n) for n in range(400, 1000)))
    history = History(run)
    while history.behind:
        history.poll(10_000)
    lines = history.lines()
    assert len(lines) == 1200
    assert [first_word(line) for line in lines] == ["checkpoint"] * 1000 + ["step"] * 200
    assert lines[-1].words.startswith("step 2 999")
    write(run, {"kind": "warning", "message": "poor"}, step(3000))
    history.poll()
    assert [first_word(line) for line in history.lines()[-3:]] == ["step", "warning:", "step"]


def test_what_comes_again_and_again_is_bounded(run: Run) -> None:
    score = {"step": None, "split": "teacher", "ex": 0.9}
    write(run, {"kind": "eval", **score}, {"kind": "probe", **score})
    for at in range(1, 2100):
        score = {"step": at, "split": "student", "ex": 0.1}
        write(run, {"kind": "eval", **score}, {"kind": "probe", **score})
        write(run, {"kind": "warning", "message": str(at)}, {"kind": "rewrite", "step": at, "gold": ["a"]})
    history = read(run)
    told = history.snapshot()
    view = told.view
    assert (len(view.evals), len(view.probes), len(view.warnings), len(told.rewrites)) == (
        2000,
        200,
        100,
        100,
    )
    assert (view.evals[0]["split"], view.probes[0]["split"]) == ("teacher", "teacher")
    assert (view.evals[-1]["step"], view.warnings[-1]) == (2099, "2099")
    assert told.rewrites[-1]["step"] == 2099
    assert len(history.lines()) == 1000


def test_events_in_words(run: Run) -> None:
    answers = [{"correct": True}, {"correct": False}, "?"]
    write(
        run,
        {"kind": "probe", "split": "student_before", "step": 1000, "answers": answers},
        {"kind": "rewrite", "step": 7, "example": 3},
        {"kind": "from the future", "size": 4, "names": ["a"]},
        {"kind": "nothing"},
        {"kind": "warning", "message": "x" * 9999},
    )
    words = [line.words for line in read(run).lines()]
    assert words[:4] == [
        "probes of student before: 1 of 2 right at step 1 000",
        "rewrite at step 7: example 3",
        "from the future: size 4, names ['a']",
        "nothing",
    ]
    assert len(words[4]) == 501


def test_a_resumed_run_goes_back_on_its_curves(run: Run) -> None:
    write(run, *(step(at) for at in range(1, 10)), {"kind": "run_end", "state": "stopped"})
    history = read(run)
    assert history.snapshot().view.end
    write(run, step(6, loss=2.0), generation=2)
    history.poll()
    assert history.snapshot().view.end is None
    assert history.curve("loss", 99).mean == (1, 1, 1, 1, 1, 2)


def test_a_narrow_range_is_read_again_exactly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_PLACE_BYTES", 2000)
    monkeypatch.setattr(history_module, "_NUM_PLACES", 50)
    monkeypatch.setattr(history_module, "Series", lambda: Series(capacity=64))
    write(run, *(step(at, loss=float(at)) for at in range(1, 2001)))
    history = History(run)
    while history.behind:
        history.poll(3000)
    assert len(history.curve("loss", 99, 1500, 1520).xs) < 5
    exact = tuple(float(at) for at in range(1500, 1521))
    assert history.detail(["loss"], 99, 1500, 1520)[0].mean == exact
    assert history.detail(["loss"], 99, 1, 2)[0].mean == (1, 2)
    assert history.detail(["loss"], 99, 1999, 9999)[0].mean == (1999, 2000)
    assert history.detail(["loss", "lr"], 99, 3000, 4000) == (Curve("loss"), Curve("lr"))
    monkeypatch.setattr(history_module, "_MOST_AGAIN_BYTES", 10_000)
    assert history.detail(["loss"], 99, 1, 1900) == (Curve("loss"),)
    run.events_path(1).unlink()
    assert history.detail(["loss"], 99, 1, 2) == (Curve("loss"),)


@pytest.mark.parametrize("budget", [400, 2500, 100_000])
def test_a_range_that_was_done_again_is_shown_as_it_was_done_last(
    run: Run, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_PLACE_BYTES", 1000)
    history = History(run)
    for generation, start in ((1, 1), (2, 61), (3, 31)):
        write(run, *(step(at, loss=float(generation)) for at in range(start, 101)), generation=generation)
        history.poll(budget)
    while history.behind:
        history.poll(budget)
    assert history.detail(["loss"], 99, 28, 33)[0].mean == (1, 1, 1, 3, 3, 3)
    assert history.detail(["loss"], 99, 58, 63)[0].mean == (3,) * 6
    assert history.detail(["loss"], 99, 1, 3)[0].mean == (1,) * 3


# --- what goes wrong ---


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "run_start", "parameters": [1], "total_steps": "many"},
        {"kind": "run_end", "state": "failed", "error": "broken"},
        {"kind": "eval", "ex": "high", "by_hardness": 3},
        {"kind": "probe", "answers": "none"},
        {"kind": "phase", "name": 1, "done": "x", "total": {}},
        {"kind": "checkpoint", "step": 10**30},
        {"kind": "odd", "deep": [[[[[[[[[[1]]]]]]]]]]},
        {"kind": "warning", "time": "now"},
        {"kind": "step", "step": [], "loss": {}, "ms": []},
        {"kind": "step", "step": 3, "eta_s": 10**400},
    ],
)
def test_events_of_a_wrong_shape_are_counted_and_shown_to_nobody(run: Run, fields: dict[str, Any]) -> None:
    write(run, step(1), fields, {"kind": "warning", "message": "goes on"})
    history = read(run)
    told = history.snapshot()
    assert told.num_skipped == 1
    assert told.view.warnings == ("goes on",)
    assert [line.words for line in history.lines() if "damaged" not in line.words][-1] == "warning: goes on"


def test_a_run_that_was_given_up_is_tried_again_when_it_is_asked_for(run: Run) -> None:
    write(run, step(1))
    monitor = Monitor(lambda rows: None, lambda run_id: None)
    monitor.follow([run.id])
    first = monitor.history(run.id)
    assert first is not None
    first.fail("a fault")
    assert (first.poll(), first.behind, first.snapshot().problem) == (False, False, "a fault")
    monitor.follow([run.id])
    second = monitor.history(run.id)
    assert second is not None
    assert second.poll()
    assert (second.snapshot().num_events, second.snapshot().problem) == (1, "")
    monitor.follow([run.id])
    assert monitor.history(run.id) is second


def test_random_bytes(run: Run) -> None:
    import random

    source = random.Random(1)
    write(run, step(1))
    history = read(run)
    with run.events_path(1).open("ab") as file:
        file.write(source.randbytes(300_000) + b"\n")
    write(run, step(2))
    history.poll()
    told = history.snapshot()
    assert told.view.step["step"] == 2
    assert told.num_skipped > 100


def test_a_deleted_run_says_so_and_keeps_what_was_read(run: Run) -> None:
    write(run, step(1))
    history = read(run)
    run.events_path(1).unlink()
    assert history.poll()
    assert history.snapshot().problem == "its events are gone"
    shutil.rmtree(run.path)
    assert history.poll()
    told = history.snapshot()
    assert (told.problem, told.view.step["step"]) == (GONE, 1)
    assert not history.poll()
    assert read(run).snapshot().problem == GONE


@pytest.mark.parametrize("way", ["cut", "replaced"])
def test_files_that_are_not_what_they_were_are_read_anew(run: Run, way: str) -> None:
    write(run, *(step(at) for at in range(1, 5)))
    history = read(run)
    if way == "replaced":
        new = run.path / "new"
        new.write_bytes(run.events_path(1).read_bytes())
        new.replace(run.events_path(1))
    else:
        run.events_path(1).write_text("")
    write(run, step(9, loss=3.0))
    assert history.poll()
    assert history.behind
    history.poll()
    assert history.snapshot().view.step["loss"] == 3.0
    assert history.curve("loss", 9).xs == ((9.0,) if way == "cut" else (1.0, 2.0, 3.0, 4.0, 9.0))
    assert history.snapshot().num_events == len(history.curve("loss", 9).xs)


def test_readers_beside_the_thread_that_polls(run: Run) -> None:
    write(run, *(step(at) for at in range(1, 5000)))
    history = History(run)
    failures: list[Exception] = []

    def poll() -> None:
        try:
            while history.behind:
                history.poll(3000)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    seen = 0
    while thread.is_alive():
        told = history.snapshot()
        assert told.num_events >= seen
        seen = told.num_events
        assert len(history.curve("loss", 50).xs) <= 50
        history.names()
    thread.join()
    assert not failures
    assert history.snapshot().num_events == 4999
