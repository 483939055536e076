"""Start, stop and ask engine processes. They are their own sessions: closing a screen leaves them alive."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import files, runs
from engine.errors import KidError, ProfileError, RunError, described
from engine.profile import Profile
from engine.runs import Run
from engine.settings import Launch

# -P: a folder named `engine` where the user stands must not be taken for ours.
ENGINE_COMMAND = (sys.executable, "-P", "-m", "engine")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that was started here, and where its words begin in the run's files."""

    run: Run
    process: subprocess.Popen[bytes]
    generation: int
    err_log_start: int

    def last_words(self, num_lines: int = 15) -> str:
        """The end of what it wrote to err.log."""
        with (self.run.path / "err.log").open("rb") as log:
            log.seek(self.err_log_start)
            lines = log.read().decode(errors="replace").rstrip().splitlines()
        return "\n".join(lines[-num_lines:])

    def kill(self) -> None:
        """End it at once, with what it has started."""
        if self.process.poll() is None:  # it is ours: until we have asked, nobody else has its number
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def create(profile: Profile, argv: Sequence[str], data_dir: Path | None) -> Run:
    """A new run, made only when its data can be read: a mistyped path leaves nothing behind.

    Raises:
        KidError: as `check_data` and `runs.create`.
    """
    check_data(profile, data_dir)
    return runs.create(profile, argv, data_dir=data_dir)


def check_data(profile: Profile, data_dir: Path | None) -> None:
    """Open every data set and database that a run of this profile would.

    Raises:
        KidError: one cannot be opened.
    """
    from engine.data import benchmarks, corrections, text_task
    from engine.data.adapters import open_database

    folder = Path(profile.data.databases) if profile.data.databases else None
    used = {example.database for example in corrections.asked_for(profile.data, data_dir)}
    train_set = benchmarks.load(profile.data.train, data_dir, folder)
    eval_set = benchmarks.load(profile.data.eval, data_dir, folder)
    text_task.require_one_kind(train_set, eval_set, profile.data)
    if train_set.kind == "sql":
        used |= {*train_set.databases.values(), *eval_set.databases.values()}
    for file in used:
        with open_database(file) as reader:
            reader.tables()


def trainer_command(launch: Launch, made_in: Path) -> tuple[str, ...]:
    """What starts the engine to train: itself, or accelerate's launcher with several of it.

    Args:
        made_in: the folder that a relative launch.config is meant from.

    Raises:
        ProfileError: launch.config is no file.
    """
    if not _needs_launcher(launch):
        return ENGINE_COMMAND
    number = [] if launch.processes is None else ["--num_processes", str(launch.processes)]
    # Its "multi_gpu" is torch's launcher, which takes CPUs as well; its "cpu" starts one process.
    where = ["--multi_gpu", "--num_machines", "1", "--main_process_port", "0"]
    if launch.config is not None:
        config = made_in / Path(launch.config).expanduser()
        if not config.is_file():
            raise ProfileError(
                f"launch.config: there is no file {config}",
                f"accelerate config --config_file {config} makes it",
            )
        where = ["--config_file", str(config)]
    same = ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the engine sees to its own precision
    return (sys.executable, "-P", "-m", "accelerate.commands.launch", *number, *where, *same, "-m", "engine")


def start(run: Run, command: Sequence[str] = ENGINE_COMMAND, processes: int | None = None) -> Engine:
    """Start the engine on a run, new or interrupted, detached from this terminal.

    Args:
        run: a run that no engine works on.
        command: what stands for the engine; `train --run DIR` is added. Our own is started as [launch] says.
        processes: so many processes instead of the profile's.

    Raises:
        RunError: the run is alive already, or its folder cannot be written.
        KidError: the process cannot be started; the disk is full.
    """
    launch = run.profile().launch
    if processes is not None:
        launch = launch.model_copy(update={"processes": processes})
    with _one_at_a_time(run):
        status = run.status()
        if status["state"] in runs.LIVE_STATES and status.get("pid") is not None:
            follow = f"kid runs logs -f {run.id} follows it; kid runs stop {run.id} ends it"
            paused = f"kid runs resume {run.id} lets it go on"
            raise RunError(
                f"run {run.id} is already {status['state']} (pid {status['pid']})",
                paused if status["state"] == "paused" else follow,
            )
        try:
            for name in runs.REQUESTS:
                (run.path / "control" / name).unlink(missing_ok=True)
            generation = run.next_generation()
            with (run.path / "out.log").open("ab") as out, (run.path / "err.log").open("ab") as err:
                err_log_start = err.tell()
                engine = Engine(run, _spawn(run, command, launch, out, err), generation, err_log_start)
        except OSError as error:
            raise KidError(f"cannot start the engine of run {run.id}: {error}") from error
        try:
            mark = runs.process_mark(engine.process.pid)
            files.write_json(run.path / "launch.json", {"generation": generation, **mark})
        except BaseException:
            engine.kill()
            raise
        return engine


def kill(run: Run, only: int | None = None) -> int:
    """End a run's engine at once, with what it has started. The run is lost, and can be resumed.

    Args:
        only: the process that is meant; another one that has taken the run up since is left alone.

    Returns:
        The process id.

    Raises:
        RunError: there is no process to end on this machine, or it is somebody else's.
    """
    status = run.status()
    pid = status.get("pid")
    if status["state"] not in runs.LIVE_STATES or pid is None or status["host"] != socket.gethostname():
        raise RunError(f"run {run.id} has no living process here", f"it is {status['state']}")
    if only is not None and pid != only:
        raise RunError(f"run {run.id} has another process now: {pid}, not {only}", "look, and kill that one")
    try:
        # An engine that somebody started by hand may share its group with their shell.
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except OSError as error:
        raise RunError(f"cannot end process {pid} of run {run.id}: {error.strerror}") from error
    return int(pid)


def plan(profile: Profile, data_dir: Path | None, command: Sequence[str] = ENGINE_COMMAND) -> dict[str, Any]:
    """What a run of this profile would be: parameters, memory, steps. Nothing is written.

    Raises:
        KidError: as the engine says, with its exit code.
    """
    request = json.dumps(plan_request(profile, data_dir))
    done = subprocess.run([*command, "plan"], input=request, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        tail = "\n".join(done.stderr.rstrip().splitlines()[-15:])
        raise KidError(f"the engine could not plan this run (exit code {done.returncode})", tail) from None
    if "error" in answer:
        raise described(answer["error"])
    return answer


def plan_request(profile: Profile, data_dir: Path | None) -> dict[str, Any]:
    """A run that is not there, as the engine's `plan` and `preflight` are told of it."""
    return {
        "profile": profile.model_dump(mode="json"),
        "data_dir": str(data_dir.expanduser().absolute()) if data_dir is not None else None,
    }


def _spawn(run: Run, command: Sequence[str], launch: Launch, out: Any, err: Any) -> subprocess.Popen[bytes]:
    # Relative paths in the profile are meant from where the run was made.
    made_in = Path(run.info()["cwd"])
    if command == ENGINE_COMMAND:
        command = trainer_command(launch, made_in)
    return subprocess.Popen(
        [*command, "train", "--run", str(run.path)],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        cwd=made_in if made_in.is_dir() else None,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **_launcher_environment(launch)},
        start_new_session=True,
    )


def _needs_launcher(launch: Launch) -> bool:
    return launch.config is not None or launch.processes not in (None, 1)


def _launcher_environment(launch: Launch) -> dict[str, str]:
    """What a launcher hands on to the processes that it starts, and what tells it to be patient."""
    if not _needs_launcher(launch):
        return {}
    asked = {} if launch.processes is None else {"KID_PROCESSES": str(launch.processes)}
    # It starts them without -P, and by itself grants 30 seconds to finish a step and write a checkpoint.
    return {"PYTHONSAFEPATH": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300", **asked}


@contextmanager
def _one_at_a_time(run: Run) -> Iterator[None]:
    """Two front ends that resume one run at once: the second waits, and sees the first one's engine."""
    path = run.path / "launch.lock"
    try:
        lock = path.open("w")
    except OSError as error:
        raise files.write_error(path, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
