"""Data sets of Hugging Face `datasets`: from the hub, or from a folder.

    hf:OWNER/NAME[:CONFIG][@SPLIT]    a data set on the hub
    hf:PATH[@SPLIT]                   a folder: from `save_to_disk`, or with parquet, JSON or CSV files

In a folder of files, each file is a split and gives it its name: `dev.json`, or the shards
`train-00000-of-00002.parquet` and so on. They lie in the folder itself or in its `data` folder.
A set with one split needs no @SPLIT. Rows are those of engine/data/items.py.

`datasets` is imported inside functions: it takes a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.items import read_items
from engine.errors import DataError

PREFIX = "hf:"
Rows = Iterable[tuple[str, Any]]
"""(place, row) pairs; the place names set, split and row in a message."""

_MEND = "hf:PATH reads a directory, hf:OWNER/NAME a data set on the hub"
_PATIENCE = 10.0  # seconds for the hub's first answer
_SUFFIXES = (".parquet", ".json", ".jsonl", ".csv")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_OTHER_FILES = re.compile(r"tables\.json$|^dataset_infos?\.json$|^\.")
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A spec taken apart: either a directory, or a repository on the hub."""

    spec: str
    directory: Path | None
    repository: str = ""
    config: str = ""
    split: str = ""

    @property
    def name(self) -> str:
        """The spec without its split."""
        return self.spec.removesuffix(f"@{self.split}") if self.split else self.spec


def parse(spec: str) -> Reference:
    """What a spec names. An existing folder goes before a repository of that name.

    Raises:
        DataError: it can be neither.
    """
    text = spec.removeprefix(PREFIX)
    name, _, split = text.rpartition("@") if "@" in text else (text, "", "")
    # A folder's own name may hold an @.
    for place, part in ((text, ""), (name, split)):
        if place and Path(place).expanduser().is_dir():
            return Reference(spec, Path(place).expanduser().absolute(), split=part)
    repository, _, config = name.partition(":")
    if _REPOSITORY.fullmatch(repository):
        return Reference(spec, None, repository, config, split)
    if not text:
        raise DataError(f"'{spec}' names no data set", _MEND)
    path = Path(name).expanduser().absolute()
    if path.is_file():
        raise DataError(f"{spec}: {path} is a file", "name its folder; file:PATH reads one JSON or CSV file")
    raise DataError(f"data set not found: no directory {path}", _MEND)


def read(reference: Reference) -> Rows:
    """The rows of one split.

    Raises:
        DataError: not found or not readable; no such split, or several and none named.
    """
    spec, directory = reference.spec, reference.directory
    if directory is None:
        splits = _numbered(reference, fetch(reference.repository, reference.config))
    elif any((directory / name).is_file() for name in ("dataset_dict.json", "state.json")):
        splits = _numbered(reference, _saved(directory))
    else:
        splits = {split: _file_rows(files) for split, files in _split_files(directory).items()}
    names = ", ".join(splits)
    if reference.split:
        if reference.split not in splits:
            raise DataError(f"{spec}: no split '{reference.split}'", f"it has {names}")
        return splits[reference.split]
    if len(splits) > 1:
        raise DataError(f"{spec} has several splits: {names}", f"name one: {reference.name}@SPLIT")
    return next(iter(splits.values()))


def fetch(repository: str, config: str = "") -> Mapping[str, Iterable[Mapping[str, Any]]]:
    """The splits of a data set on the hub; with HF_HUB_OFFLINE=1, of its copy in the cache of `datasets`.

    Raises:
        DataError: no network, no such data set or configuration.
    """
    import datasets
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    datasets.disable_progress_bars()
    name = f"{repository}:{config}" if config else repository
    try:
        if not constants.HF_HUB_OFFLINE:  # asked first: `datasets` itself takes half a minute to give up
            HfApi().dataset_info(repository, timeout=_PATIENCE)
        return datasets.load_dataset(repository, config or None)
    except (RepositoryNotFoundError, HFValidationError, datasets.exceptions.DatasetNotFoundError) as error:
        raise DataError(
            f"{name} is neither a directory here nor a data set on the Hugging Face hub that you may read",
            "check its name; a private one needs `hf auth login`",
        ) from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{name} on the Hugging Face hub cannot be read: {_first_line(error)}",
            "check the name, and the configuration behind it (hf:OWNER/NAME:CONFIG)",
        ) from error
    except Exception as error:  # the network's; of which library it is differs between versions
        raise DataError(
            f"cannot fetch {name} from the Hugging Face hub: {_first_line(error)}",
            "check the network; HF_HUB_OFFLINE=1 uses a copy fetched before, hf:PATH one from save_to_disk",
        ) from error


def _saved(directory: Path) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    """What `save_to_disk` of a Dataset or a DatasetDict left."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(directory))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{directory} is not what save_to_disk leaves: {_first_line(error)}", "save the data set again"
        ) from error
    return loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}


def _split_files(directory: Path) -> dict[str, list[Path]]:
    """Split -> its files, in their order."""
    splits: dict[str, list[Path]] = {}
    for file in sorted([*directory.iterdir(), *directory.glob("data/*")]):
        if file.is_file() and file.suffix.lower() in _SUFFIXES and not _OTHER_FILES.search(file.name):
            splits.setdefault(_SHARD.sub("", file.stem), []).append(file)
    if not splits:
        raise DataError(
            f"{directory} holds no data set: no parquet, JSON or CSV file, and nothing from save_to_disk",
            "name the directory that holds the files",
        )
    for split, files in splits.items():
        # Shards of one split are of one kind and beside each other; dev.json and dev.csv are two sets.
        if len(files) > 1 and not all(_SHARD.search(file.stem) for file in files):
            raise DataError(
                f"{directory}: several files for the split '{split}': {', '.join(f.name for f in files)}",
                "leave one of them there",
            )
    return splits


def _file_rows(files: list[Path]) -> Iterator[tuple[str, Any]]:
    for file in files:
        if file.suffix.lower() == ".parquet":
            yield from _parquet_rows(file)
        else:
            yield from read_items(file)


def _parquet_rows(file: Path) -> Iterator[tuple[str, Any]]:
    import datasets

    try:  # streamed, so that no copy of it goes to the cache
        rows = datasets.load_dataset("parquet", data_files=str(file), split="train", streaming=True)
        yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{file} cannot be read as parquet: {_first_line(error)}", "fetch it again"
        ) from error


def _numbered(reference: Reference, splits: Mapping[str, Iterable[Any]]) -> dict[str, Rows]:
    return {split: _places(f"{reference.name}@{split}", rows) for split, rows in splits.items()}


def _places(name: str, rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"{name}, row {number}", row) for number, row in enumerate(rows))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
