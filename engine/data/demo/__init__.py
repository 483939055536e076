"""The embedded demo: small databases, and questions with SQL made from their content.

`build` writes them once into the cache, in Spider's layout.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from engine import files, paths
from engine.data.demo.databases import SEEDS, create, database_names
from engine.errors import DataError

__all__ = ["build", "build_databases", "database_names", "fingerprint"]

_ITEMS = ("train.json", "dev.json", "tables.json")


def build(cache: Path | None = None) -> Path:
    """The folder of the demo data, made as far as it is not there yet.

    It holds `train.json` and `dev.json` (lists of `{"db_id", "question", "query",
    "kind"}`), an empty `tables.json`, and `database/<name>/<name>.sqlite`. Its name
    carries a fingerprint of the sources, so that a new release makes a new one.

    Raises:
        DataError: the cache cannot be written.
    """
    folder = build_databases(cache)
    if not all((folder / name).is_file() for name in _ITEMS):
        from engine.data.demo.questions import generate  # takes a second: not for those who only ask

        for name, content in zip(_ITEMS, (*generate(), []), strict=True):
            files.write_text(folder / name, json.dumps(content, indent=1) + "\n")
    return folder


def build_databases(cache: Path | None = None) -> Path:
    """The same folder, with the databases at least.

    Raises:
        DataError: the cache cannot be written.
    """
    cache = cache or paths.cache_dir()
    folder = cache / f"demo-{fingerprint()[:12]}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".demo-", dir=cache))
        try:
            for name in database_names():
                (unfinished / "database" / name).mkdir(parents=True)
                create(name, unfinished / "database" / name / f"{name}.sqlite").close()
            _publish(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"the demo data cannot be written to {cache}: {error.strerror or error}",
            "free some space or set KID_HOME to a folder that you can write to",
        ) from error
    return folder


def fingerprint() -> str:
    """sha256 over the sources that settle the content, the same on every platform."""
    here = paths.demo_source()
    digest = sha256()
    sources = [*here.glob("*.py"), *SEEDS.glob("*.sql"), *SEEDS.glob("*.toml")]
    for path in sorted(sources, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def _publish(unfinished: Path, folder: Path) -> None:
    """Give the finished folder its name; another process may have been faster."""
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
