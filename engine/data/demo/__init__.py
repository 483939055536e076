"""The embedded demo: small databases, and questions with SQL made from their content.

`build` writes them once into the cache, in Spider's layout.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from engine import paths
from engine.data.demo.databases import SEEDS, create, database_names
from engine.errors import DataError

__all__ = ["build", "database_names", "fingerprint"]


def build(cache: Path | None = None) -> Path:
    """The folder of the demo data, made if it is not there yet.

    It holds `train.json` and `dev.json` (lists of `{"db_id", "question", "query",
    "kind"}`), an empty `tables.json`, and `database/<name>/<name>.sqlite`. Its name
    carries a fingerprint of the sources, so that a new release makes a new one.

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
            _write(unfinished)
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


def _write(folder: Path) -> None:
    from engine.data.demo.questions import generate

    for name in database_names():
        (folder / "database" / name).mkdir(parents=True)
        create(name, folder / "database" / name / f"{name}.sqlite").close()
    train, held_out = generate()
    for name, content in (("train", train), ("dev", held_out), ("tables", [])):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _publish(unfinished: Path, folder: Path) -> None:
    """Give the finished folder its name; another process may have been faster."""
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
