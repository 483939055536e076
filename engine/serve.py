"""`python -P -m engine serve`: answers over pipes, for the REPL, the monitor and any other client.

Requests are read here and put into one of two lanes, each a thread that does one thing at a time: what
needs a model, and plain SQL. Reading goes on meanwhile, so a request can be cancelled at any moment: its
client is free at once, its lane drops the work at the model's next pass, and its query's process is killed.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from engine.answer import Answers, Check, Tell, Writes, execute
from engine.data.glance import readable
from engine.errors import KidError, ModelError, ProfileError, UsageError, describe, fault
from engine.profile import Profile, problems
from engine.protocol import (
    LAST_EVENTS,
    LONGEST_LINE,
    VERSION,
    AnyRequest,
    Ask,
    Cancel,
    Close,
    Compare,
    Execute,
    Id,
    Load,
    OnDatabase,
    Open,
    Prompt,
    Role,
    parse,
)
from engine.provenance import usable_cores
from engine.question import Question
from engine.sql.execute import Executor

log = logging.getLogger(__name__)

_WAITING = 16  # requests that may wait in a lane


class Model(Writes, Protocol):
    """What the service needs of a model (writer.py)."""

    name: str
    num_parameters: int

    def read(self, database: Path, check: Check) -> object: ...

    def prompt(self, question: Question) -> dict[str, object]: ...


OpenModel = Callable[[Profile, Role, Executor], Model]


def serve(source: BinaryIO, sink: BinaryIO, open_model: OpenModel) -> None:
    """Answers requests until the input ends or one says so.

    Args:
        source, sink: lines of JSON (protocol.py).
        open_model: gets a profile's student or teacher.
    """
    _Service(sink, open_model).listen(source)


class _CancelledError(Exception):
    """Nobody waits for this answer any more."""


class _Job:
    """One request under way, and its way back to the client."""

    def __init__(self, request: AnyRequest, sink: _Sink) -> None:
        self.request = request
        self._sink = sink
        self._lock = threading.Lock()
        self.ended = False

    def tell(self, event: str, **fields: object) -> None:
        """Sends an event. What comes after the last one is dropped."""
        with self._lock:
            if not self.ended:
                self.ended = event in LAST_EVENTS
                self._sink.send(self.request.id, event, **fields)

    def check(self) -> None:
        if self.ended:
            raise _CancelledError


class _Sink:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, request: Id | None, event: str, **fields: object) -> None:
        line = json.dumps({"id": request, "event": event, **fields}).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class _Lane:
    """A thread that does one job after the other, and the processes that run its SQL."""

    def __init__(self, name: str, work: Callable[[_Job, Executor], None]) -> None:
        self.executor = Executor(usable_cores())
        self._work = work
        self._jobs: queue.Queue[_Job] = queue.Queue(_WAITING)
        self._current: _Job | None = None
        self._changing = threading.Lock()  # so that no other job's query is ended in its place
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, job: _Job) -> None:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            job.tell("error", **describe(UsageError(f"more than {_WAITING} requests wait", "ask later")))

    def stop(self, job: _Job) -> None:
        """Ends the query of a job that has been cancelled."""
        with self._changing:
            if self._current is job:
                self.executor.close()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            with self._changing:
                self._current = job
            try:
                job.check()
                self._work(job, self.executor)
                job.tell("done")
            except _CancelledError:
                pass
            except KidError as error:
                job.tell("error", **describe(error))
            except Exception as error:
                log.exception("request %s", job.request.id)
                job.tell("error", **describe(fault(error)))
            finally:
                with self._changing:
                    self._current = None


class _Service:
    def __init__(self, sink: BinaryIO, open_model: OpenModel) -> None:
        self._sink = _Sink(sink)
        self._open_model = open_model
        self._profile: Profile | None = None
        self._models: dict[Role, Model] = {}
        self._jobs: dict[Id, tuple[_Job, _Lane]] = {}
        self._model_lane = _Lane("model", self._work)
        self._sql_lane = _Lane("sql", self._work)

    def listen(self, source: BinaryIO) -> None:
        self._sink.send(None, "hello", v=VERSION, pid=os.getpid())
        while line := source.readline(LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = source.readline(LONGEST_LINE)
                self._refuse(UsageError(f"a line of more than {LONGEST_LINE} bytes"))
            elif line.strip():
                try:
                    request = parse(line)
                except UsageError as error:
                    self._refuse(error)
                    continue
                if isinstance(request, Close):
                    self._sink.send(request.id, "done")
                    break
                self._accept(request)
        for lane in (self._model_lane, self._sql_lane):
            lane.executor.close()

    def _refuse(self, error: KidError) -> None:
        self._sink.send(None, "error", **describe(error))

    def _accept(self, request: AnyRequest) -> None:
        self._jobs = {name: pair for name, pair in self._jobs.items() if not pair[0].ended}
        job = _Job(request, self._sink)
        if request.id in self._jobs:
            self._refuse(UsageError(f"request {request.id!r} is still under way", "choose another id"))
        elif isinstance(request, Cancel):
            self._cancel(request, job)
        else:
            plain = isinstance(request, Execute) and request.question is None
            lane = self._sql_lane if plain else self._model_lane
            self._jobs[request.id] = job, lane
            lane.put(job)

    def _cancel(self, request: Cancel, job: _Job) -> None:
        cancelled = self._jobs.get(request.target)
        if cancelled:
            cancelled[0].tell("cancelled")
            cancelled[1].stop(cancelled[0])
        job.tell("done")

    def _work(self, job: _Job, executor: Executor) -> None:
        """Does what one request asks."""
        request, tell, check = job.request, job.tell, job.check
        if isinstance(request, OnDatabase):
            executor.timeout = request.timeout
        match request:
            case Load():
                self._profile, self._models = _checked(request.profile), {}
                self._model("student", tell)
            case Open():
                database = Path(request.database)
                tell("opened", database=request.database, tables=readable(database))
                if self._profile:
                    self._model("student", tell).read(database, check)
            case Ask():
                self._answers(request.role, tell).ask(request, tell, check)
            case Execute(question=None):
                execute(executor, request.sql, request, 1, tell, check)
            case Execute():
                question = Question(Path(request.database), str(request.question), request.evidence)
                self._answers("student", tell).run(request.sql, question, request, tell, check)
            case Compare():
                self._answers("teacher", tell).compare(request, tell, check)
            case Prompt():
                question = Question(Path(request.database), request.question, request.evidence)
                tell("prompt", **self._model("student", tell).prompt(question))

    def _answers(self, role: Role, tell: Tell) -> Answers:
        return Answers(self._model(role, tell), self._model_lane.executor)

    def _model(self, role: Role, tell: Tell) -> Model:
        """A model, opened when it is first needed."""
        if self._profile is None:
            raise ModelError("no model is loaded", "send a load request first")
        if role not in self._models:
            tell("phase", name=f"loading {role}")
            self._models[role] = model = self._open_model(self._profile, role, self._model_lane.executor)
            tell("loaded", role=role, model=model.name, parameters=model.num_parameters)
        return self._models[role]


def _checked(values: dict[str, Any]) -> Profile:
    if found := problems(values):
        raise ProfileError(found[0].message, found[0].mend)
    return Profile.model_validate(values)
