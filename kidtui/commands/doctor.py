"""`kid doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass

from kidtui.commands.options import DataDir, Json

_EXTRAS = {"gguf": "gguf", "figures": "matplotlib"}
_NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets")
_TORCH_SECONDS = 120.0

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


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """What this machine has: torch, devices, memory, data sets; what to do about what is missing."""
    from pathlib import Path

    from kidtui import console

    given: Path | None = data_dir
    findings = [*_software(), _torch(), *_machine(), _runs_folder(), *_extras(), *_data(given)]
    if as_json:
        console.data_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        console.data(f"{'✓' if finding.ok else '–'} {finding.name:<22} {finding.value}")
        if finding.mend:
            console.data(f"  {'':<22} {finding.mend}")


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _software() -> list[Finding]:
    import platform

    versions = {name: _version(name) for name in _NEEDED}
    missing = [name for name, version in versions.items() if version is None]
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    return [
        Finding("kid", f"{_version('kid-sql')}, Python {platform.python_version()}"),
        Finding("libraries", text, not missing, f"pip install {' '.join(missing)}" if missing else ""),
    ]


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


def _machine() -> list[Finding]:
    import shutil

    import psutil

    from engine import paths

    memory = psutil.virtual_memory()
    place = paths.runs_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    roomy = free > 2 * 2**30
    return [
        Finding("cores", str(len(psutil.Process().cpu_affinity()) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
        Finding("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free"),
        Finding("disk", f"{free / 2**30:.1f} GB free in {place}", roomy, "" if roomy else "free some space"),
    ]  # fmt: skip


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


def _extras() -> list[Finding]:
    found = {extra: _version(package) for extra, package in _EXTRAS.items()}
    return [
        Finding(
            f"extra {extra}",
            version or "not installed",
            version is not None,
            "" if version else f"pip install 'kid-sql[{extra}]'",
        )
        for extra, version in found.items()
    ]


def _data(data_dir: object) -> list[Finding]:
    from pathlib import Path

    from engine.data import benchmarks

    folder = data_dir if isinstance(data_dir, Path) else None
    return [
        Finding(
            one.name,
            str(one.path or "not found"),
            one.path is not None,
            "" if one.path else "name the folder that holds it with --data-dir or KID_DATA_DIR",
        )
        for one in benchmarks.known_sets(folder)
    ]
