"""What a run survives: kills while it saves, damaged files, full disks, clocks that are set, odd models."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from engine import files, profile, runs
from engine.distill import checkpoint
from engine.distill.checkpoint import Progress
from engine.distill.control import Control, StopRequested
from engine.errors import KidError, ModelError, RunError
from engine.event_reader import EventReader
from engine.models import load
from engine.run_writer import RunWriter
from engine.runs import Run
from tests.engine import tiny

FILE_OPERATIONS = (
    (io, "open"),
    (os, "mkdir"),
    (os, "fsync"),
    (os, "rename"),
    (os, "unlink"),
    (os, "rmdir"),
)


class Killed(BaseException):
    """Nothing catches it: what was done stays, what was not stays undone."""


@contextmanager
def killed_before(number: int) -> Iterator[None]:
    """Ends what is done in the block before its file operation of that number, counted from 0."""
    left = iter(range(number, -1, -1))

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if not next(left, 0):
                raise Killed
            return real(*arguments, **options)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for module, name in FILE_OPERATIONS:
            patch.setattr(module, name, counted(getattr(module, name)))
        yield


class Training:
    """A student and its optimizer, as small as they come."""

    def __init__(self, width: int = 4) -> None:
        self.student = torch.nn.Linear(width, 3)
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=0.1)
        self.progress = Progress(data="d")

    def step(self) -> None:
        self.student(torch.rand(2, self.student.in_features)).square().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.progress.step += 1

    def save(self, folder: Path, keep: int = 2) -> None:
        checkpoint.save(folder, self.student, self.optimizer, self.progress, keep)

    def state(self) -> str:
        return repr((self.student.state_dict(), self.optimizer.state_dict(), self.progress,
                     torch.get_rng_state().tolist()))  # fmt: skip


def restored(folder: Path) -> Training:
    made = Training()
    torch.manual_seed(99)
    progress, _ = checkpoint.restore(folder, made.student, made.optimizer)
    assert progress
    made.progress = progress
    return made


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here tells what is on the disk from what is on its way: waiting for it would only take time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def training() -> Training:
    torch.manual_seed(0)
    return Training()


@pytest.fixture
def run() -> Run:
    return runs.create(profile.load("demo"), ["test"])


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("again", [False, True], ids=["the next step", "the same step again"])
def test_a_kill_at_any_moment_of_saving_loses_nothing(
    tmp_path: Path, training: Training, keep: int, again: bool
) -> None:
    start = tmp_path / "start"
    training.step()
    training.save(start, keep)
    before = training.state()
    if again:
        training.progress.evaluated_step = 1
    else:
        training.step()
    after, random_state = training.state(), torch.get_rng_state()
    for number in range(100):
        folder = tmp_path / str(number)
        shutil.copytree(start, folder)
        try:
            with killed_before(number):
                training.save(folder, keep)
        except Killed:
            found = restored(folder)
            assert found.state() in (before, after)
            found.save(folder, keep)  # the next life
            assert restored(folder).state() == found.state()
            assert len(list(folder.iterdir())) <= keep, "nothing of the killed save stays"
            torch.set_rng_state(random_state)
        else:
            break
    assert number >= 12
    assert restored(folder).state() == after


def damage(path: Path, how: str) -> None:
    if how == "cut short":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "one bit":
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    elif how == "garbage":
        path.write_bytes(b"\x80\x02}q\x00garbage")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("student.safetensors", "cut short"),
        ("student.safetensors", "one bit"),
        ("optimizer.pt", "garbage"),
        ("optimizer.pt", "one bit"),
        ("progress.json", "missing"),
        ("progress.json", "one bit"),
        ("sha256", "missing"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_later_cleared(
    tmp_path: Path, training: Training, name: str, how: str
) -> None:
    states = []
    for _ in range(3):
        training.step()
        training.save(tmp_path, keep=3)
        states.append(training.state())
    for step in (2, 3):  # more of them than will be kept
        damage(tmp_path / f"step-{step:08d}" / name, how)
    made = Training()
    progress, broken = checkpoint.restore(tmp_path, made.student, made.optimizer)
    assert progress
    made.progress = progress
    assert made.state() == states[0]
    assert [path.name for path in broken] == ["step-00000003", "step-00000002"]
    assert all(broken.values())
    made.step()
    made.save(tmp_path, keep=2)
    assert [path.name for path in checkpoint.names(tmp_path)] == ["step-00000001", "step-00000002"]
    assert restored(tmp_path).state() == made.state() == states[1]


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, training: Training) -> None:
    training.step()
    training.save(tmp_path)
    newest = checkpoint.names(tmp_path)[-1]
    (newest / "optimizer.pt").write_bytes(pickle.dumps(Payload(tmp_path / "run"), protocol=2))
    (newest / "sha256").write_text(checkpoint._sums(newest))
    with pytest.raises(RunError, match="none of the checkpoints"):
        restored(tmp_path)
    assert not (tmp_path / "run").exists()


def test_where_no_checkpoint_can_be_read_nothing_begins_anew_unasked(
    tmp_path: Path, training: Training
) -> None:
    for _ in range(2):
        training.step()
        training.save(tmp_path)
    for path in checkpoint.names(tmp_path):
        damage(path / "optimizer.pt", "cut short")
    with pytest.raises(RunError, match=r"step-00000002: its files are not as they were written") as raised:
        restored(tmp_path)
    assert "delete that folder" in raised.value.mend
    assert len(checkpoint.names(tmp_path)) == 2


@pytest.mark.parametrize("room", [100, 2000, 3500])
def test_no_room_for_a_checkpoint(tmp_path: Path, training: Training, room: int) -> None:
    training.step()
    training.save(tmp_path)
    before = training.state()
    training.step()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))  # the system itself refuses more
    try:
        with pytest.raises(KidError, match=r"cannot write .*step-00000002: .*File too large"):
            training.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    torch.manual_seed(0)
    assert restored(tmp_path).progress.step == 1
    assert restored(tmp_path).state() == before


class NearlyFull(io.BytesIO):
    """A file on a disk with a little room left: of what torch writes, the small pieces still find it."""

    def write(self, content: Any) -> int:
        if len(content) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


@pytest.mark.parametrize("room", ["none", "a little"])  # torch's own words differ
def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    real = Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name != "optimizer.pt":
            return real(path, *arguments, **options)
        return NearlyFull() if room == "a little" else real(Path("/dev/full"), *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    training = Training(1000)
    training.step()
    with pytest.raises(KidError, match="the disk is full"):
        training.save(tmp_path)


def test_a_deleted_run_is_not_made_again(run: Run, training: Training) -> None:
    shutil.rmtree(run.path)
    with pytest.raises(KidError, match="No such file or directory"):
        training.save(run.path / "checkpoints")
    assert not run.path.exists()


def test_the_end_is_told_on_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full but for what the writer itself gives back."""
    real = files.write_all

    def write_all(handle: int, content: bytes) -> None:
        if (run.path / ".reserve").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle, content)

    writer = RunWriter(run)
    assert (run.path / ".reserve").stat().st_blocks * 512 >= 2**14
    monkeypatch.setattr(files, "write_all", write_all)
    with pytest.raises(KidError, match="the disk is full"), writer:
        writer.event("step", step=1)
    assert run.status()["state"] == "failed"
    assert "the disk is full" in EventReader(run).poll()[-1]["error"]["message"]
    assert not (run.path / ".reserve").exists()


def test_what_a_killed_engine_had_half_written_is_cleared(run: Run) -> None:
    for name in (".status.json.123.456", ".report.md.123.456", ".launch.json.123.456"):
        (run.path / name).write_text("half")
    with RunWriter(run) as writer:
        writer.finish("stopped")
    assert [path.name for path in run.path.glob(".*")] == [".launch.json.123.456"]


def test_a_terminal_that_closes_stops_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWriter(run) as writer:
        control = Control(writer)
        control.check()
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(StopRequested):
            control.check()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        control = Control(writer)
        os.kill(os.getpid(), signal.SIGHUP)
        control.check()
        writer.finish("stopped")


def test_a_clock_that_is_set_loses_no_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    created, booted, now = psutil.Process.create_time, psutil.boot_time, time.time
    with RunWriter(run) as writer:
        writer.update(state="running")
        for jump in (86_400.0, -86_400.0):  # the system tells both from the clock
            monkeypatch.setattr(psutil.Process, "create_time", lambda one, jump=jump: created(one) + jump)
            monkeypatch.setattr(psutil, "boot_time", lambda jump=jump: booted() + jump)
            monkeypatch.setattr(time, "time", lambda jump=jump: now() + jump)
            status = run.status()
            assert status["state"] == "running"
            assert status["quiet_s"] >= 0
        writer.finish("stopped")


def test_the_last_words_of_a_long_run_are_read_alone(run: Run) -> None:
    status = json.loads((run.path / "status.json").read_text())
    mark = runs.process_mark() | {"pid_created": -9e9}
    (run.path / "status.json").write_text(json.dumps(status | {"state": "running", **mark}))
    with run.events_path(1).open("wb") as file:
        file.truncate(2**40)  # a hole: no reader can have all of it
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"kind": "run_end", "state": "failed"}\n')
    assert run.status()["state"] == "failed"


CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path(__file__).with_name("has_run").touch()
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def with_code(tmp_path: Path) -> Path:
    """A model whose directory brings its own code."""
    folder = tmp_path / "own"
    tiny.model("llama").save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.OwnConfig", "AutoModelForCausalLM": "code.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(CODE)
    return folder


def test_a_models_own_code_runs_where_the_profile_says_so(with_code: Path, tmp_path: Path) -> None:
    for refused in (load.load_model, load.load_config):
        with pytest.raises(ModelError, match="brings Python code along") as raised:
            refused(str(with_code))
        assert "teacher.trust_remote_code" in raised.value.mend
    assert type(load.load_config(str(with_code), trust=True)).__name__ == "OwnConfig"
    model = load.load_model(str(with_code), trust=True)
    assert type(model).__name__ == "OwnModel"
    expected = tiny.model("llama").state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert type(load.load_model(str(with_code), trust=True, random_init=True)).__name__ == "OwnModel"


def test_trust_is_of_the_role_that_says_so() -> None:
    told = profile.load("demo", ["student.model=b", "student.keep_layers=none", "teacher.model=a",
                                 "teacher.trust_remote_code=true"])  # fmt: skip
    assert told.trusts("a")
    assert not told.trusts("b")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = tiny.model("llama")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights as safetensors") as raised:
        load.load_model(str(tmp_path))
    assert "save_pretrained" in raised.value.mend
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    torch.save({}, adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        load.merge_adapter(model, adapter)
