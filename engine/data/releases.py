"""Releases: how each is laid out, and in which of the data folders it lies.

A new benchmark in the layout of Spider or BIRD is a row of `SETS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.data import demo
from engine.paths import data_dirs


@dataclass(frozen=True, slots=True)
class Source:
    """How a release is laid out. Paths are relative to `folder`, which lies in a data folder."""

    folder: str
    files: tuple[str, ...]
    """The first must be there; the others are read where they are there."""
    databases: tuple[str, ...] = ("database",)
    tables: tuple[str, ...] = ("tables.json",)
    questions: tuple[str, ...] = ("question",)
    """The keys under which a question may stand, best first."""
    sizes: tuple[int, ...] = ()
    """Numbers of items in the releases."""
    failing: tuple[int, ...] = ()
    """Items whose gold fails in the release itself."""
    hub: str = ""
    """Its first file as REPOSITORY@SPLIT on the Hugging Face hub, "" where there is no copy."""


_SPIDER_DATABASES, _SPIDER_TABLES = ("../spider/database",), ("../spider/tables.json",)
_FAILING = (3153, 4513, 4514)  # of train_spider.json

SETS: Mapping[str, Source] = {
    "demo/train": Source("demo", ("train.json",)),
    "demo/dev": Source("demo", ("dev.json",)),
    "spider/train": Source(
        "spider",
        ("train_spider.json", "train_others.json"),
        sizes=(7000, 8659),
        failing=_FAILING,
        hub="xlangai/spider@train",
    ),
    "spider/train_spider": Source(
        "spider", ("train_spider.json",), sizes=(7000,), failing=_FAILING, hub="xlangai/spider@train"
    ),
    "spider/dev": Source("spider", ("dev.json",), sizes=(1034,), hub="xlangai/spider@validation"),
    "spider_syn/dev": Source(
        "spider_syn",
        ("dev.json",),
        _SPIDER_DATABASES,
        _SPIDER_TABLES,
        ("SpiderSynQuestion",),
        (1034,),
        hub="aherntech/spider-syn@validation",
    ),
    "spider_realistic/dev": Source(
        "spider_realistic",
        ("spider-realistic.json",),
        _SPIDER_DATABASES,
        _SPIDER_TABLES,
        sizes=(508,),
        hub="aherntech/spider-realistic@validation",
    ),
    "spider_dk/dev": Source(
        "spider_dk",
        ("Spider-DK.json",),
        ("database", *_SPIDER_DATABASES),
        (*_SPIDER_TABLES, "tables.json"),
        sizes=(535,),
    ),
    "bird/train": Source(
        "bird",
        ("train.json",),
        ("train_databases",),
        ("train_tables.json",),
        sizes=(9428,),
        hub="xu3kev/BIRD-SQL-data-train@train",
    ),
    "bird/dev": Source(
        "bird",
        ("dev.json",),
        ("dev_databases",),
        ("dev_tables.json",),
        sizes=(1534,),
        hub="birdsql/bird_sql_dev_20251106@dev_20251106",
    ),
    "bird/mini_dev": Source(
        "bird",
        ("mini_dev_sqlite.json",),
        ("dev_databases",),
        ("dev_tables.json",),
        sizes=(500,),
        hub="birdsql/bird_mini_dev@mini_dev_sqlite",
    ),
}


@dataclass(frozen=True, slots=True)
class KnownSet:
    name: str
    path: Path | None
    """Its first file, None if it was not found."""


def known_sets(data_dir: Path | None = None) -> list[KnownSet]:
    """Every named data set, and where it lies."""
    found = {name: first_file(source, data_dir) for name, source in SETS.items()}
    return [KnownSet(name, path) for name, path in found.items()]


def first_file(source: Source, data_dir: Path | None) -> Path | None:
    if source.folder == "demo":
        demo.build()
    files = (base / source.files[0] for base in bases(source.folder, data_dir))
    return next((file for file in files if file.is_file()), None)


def bases(folder: str, data_dir: Path | None) -> list[Path]:
    """Where a release's folder may lie."""
    return [demo.build_databases()] if folder == "demo" else [base / folder for base in data_dirs(data_dir)]


def inside(base: Path, paths: tuple[str, ...]) -> list[Path]:
    return [Path(os.path.normpath(base / path)) for path in paths]


BIRD_LEVELS = ("simple", "moderate", "challenging")
# BIRD's dev set goes round in several releases; how many items each level has tells them apart.
_BIRD_RELEASES: Mapping[tuple[int, ...], str] = {
    (925, 464, 145): "BIRD dev, the release of 2024-06-27",
    (933, 459, 142): "BIRD dev, the other release that circulates",
    (860, 443, 231): "BIRD dev as revised on 2025-11-06: not comparable with scores on earlier releases",
}


def bird_release(num_items: Mapping[str, int]) -> str:
    """Which release of BIRD's dev set has so many items of each level; "" for none that is known."""
    return _BIRD_RELEASES.get(tuple(num_items.get(level, 0) for level in BIRD_LEVELS), "")
