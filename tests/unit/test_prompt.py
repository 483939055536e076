"""Prompts to the letter, within the budget, and the same whoever asks."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.data.benchmarks import DataSet, Example, find_database, load, tables_entry
from engine.data.prompt import Prompter
from engine.errors import DataError

SCRIPT = """
CREATE TABLE Owner (ID INTEGER PRIMARY KEY, "First Name" VARCHAR(20), Born DATE);
CREATE TABLE "pet-shop" (pet_id INT, Owner_ID INT REFERENCES Owner, wt REAL, notes, PRIMARY KEY (pet_id));
CREATE TABLE Log (Line TEXT);
INSERT INTO Owner VALUES (7, 'Ann', '1990-01-02'), (8, 'Bob', NULL), (9, 'Cy', '1990-01-02');
INSERT INTO "pet-shop" VALUES (1, 7, 3.5, NULL), (2, 7, 12, 'bites'), (3, 8, 3.5, 'sleeps');
"""
ENTRY = {
    "table_names_original": ["Owner", "pet-shop", "Log"],
    "column_names_original": [[-1, "*"], [0, "ID"], [0, "Born"], [1, "wt"], [1, "pet_id"]],
    "column_names": [[-1, "*"], [0, "id"], [0, "Date of Birth"], [1, "weight"], [1, "pet id"]],
}
PREFIX = """\
database schema :
table owner , columns = [ owner.id ( integer | primary key | values : 7 , 8 ) , \
owner.`first name` ( varchar(20) | values : Ann , Bob ) , \
owner.born ( date | comment : date of birth | values : 1990-01-02 ) ]
table `pet-shop` , columns = [ `pet-shop`.pet_id ( int | primary key | values : 1 , 2 ) , \
`pet-shop`.owner_id ( int | values : 7 , 8 ) , \
`pet-shop`.wt ( real | comment : weight | values : 3.5 , 12.0 ) , \
`pet-shop`.notes ( values : bites , sleeps ) ]
table log , columns = [ log.line ( text ) ]
foreign keys :
`pet-shop`.owner_id = owner.id
"""


def words(text: str) -> int:
    return len(text.split())


def characters(text: str) -> int:
    return len(text) // 3


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return make(tmp_path / "pets.sqlite", SCRIPT)


@pytest.fixture(scope="module")
def spider(data_dir: Path) -> DataSet:
    return load("spider/dev", data_dir)


def ask(database: Path, question: str, evidence: str = "") -> Example:
    return Example(0, "x", question, "SELECT 1", database, evidence)


def test_the_prefix_to_the_letter(pets: Path) -> None:
    assert Prompter(words).prefix(pets, ENTRY) == PREFIX
    without = PREFIX.replace("comment : date of birth | ", "").replace("comment : weight | ", "")
    assert Prompter(words).prefix(pets) == without


def test_a_schema_without_keys(tmp_path: Path) -> None:
    database = make(tmp_path / "a.sqlite", "CREATE TABLE T (A, B INT);")
    assert Prompter(words).prefix(database) == (
        "database schema :\ntable t , columns = [ t.a , t.b ( int ) ]\nforeign keys : None\n"
    )


@pytest.mark.parametrize(
    ("question", "evidence", "expected"),
    [
        ("How many?", "", "matched contents : None\nHow many?\n"),
        ("\nHow\nmany\r\npets ? ", "", "matched contents : None\nHow many pets ?\n"),
        ("Is it Ann?", "", "matched contents :\nowner.`first name` ( Ann )\nIs it Ann?\n"),
        (
            "Which bites or sleeps at Bob's?",
            "",
            "matched contents :\nowner.`first name` ( Bob )\n`pet-shop`.notes ( sleeps , bites )\n"
            "Which bites or sleeps at Bob's?\n",
        ),
        (
            "How many?",
            "mean = 'bites'",
            "matched contents :\n`pet-shop`.notes ( bites )\nmean = 'bites' How many?\n",
        ),
    ],
)
def test_the_suffix_to_the_letter(pets: Path, question: str, evidence: str, expected: str) -> None:
    assert Prompter(words).suffix(ask(pets, question, evidence)) == expected


def test_the_target_is_the_gold_on_one_line(pets: Path) -> None:
    assert (
        Prompter(words).target(" SELECT  a\nFROM t WHERE b = 'x  y' ; ") == "SELECT a FROM t WHERE b = 'x  y'"
    )


def test_what_goes_first_when_a_schema_is_too_long(pets: Path) -> None:
    """Every budget from none to plenty: each prefix fits, and the order of what goes is the stated one."""
    least = words("database schema :\nforeign keys : None\n")
    seen: list[str] = []
    for budget in range(200, least - 1, -1):
        prompter = Prompter(words, budget + 10, 10)
        assert words(prompter.prefix(pets, ENTRY)) <= budget
        seen.append(prompter.dropped.get(pets, ""))
    assert list(dict.fromkeys(seen)) == [
        "",
        "sample values",
        "sample values and comments",
        "sample values, comments and 1 of 8 columns",
        "sample values, comments and 2 of 8 columns",
        "sample values, comments and 3 of 8 columns",
        "sample values, comments and 4 of 8 columns",
        "sample values, comments, 4 of 8 columns and types",
        "sample values, comments, 4 of 8 columns, types and 1 of 1 foreign keys",
        "sample values, comments, 4 of 8 columns, types, 1 of 1 foreign keys and 1 of 3 tables",
        "sample values, comments, 4 of 8 columns, types, 1 of 1 foreign keys and 2 of 3 tables",
        "sample values, comments, 4 of 8 columns, types, 1 of 1 foreign keys and 3 of 3 tables",
    ]


def test_no_room_for_a_schema(pets: Path) -> None:
    with pytest.raises(DataError, match="no schema fits into 5 tokens") as caught:
        Prompter(words, 15, 10).prefix(pets, ENTRY)
    assert caught.value.mend == "raise data.max_prompt_tokens"


def test_columns_go_from_the_widest_table_and_keys_stay(pets: Path) -> None:
    def shown(budget: int) -> str:
        return Prompter(words, budget + 10, 10).prefix(pets, ENTRY)

    prefixes = list(dict.fromkeys(shown(budget) for budget in range(200, 44, -1)))
    gone = [
        column
        for prefix in prefixes
        for column in ("`pet-shop`.notes", "`pet-shop`.wt", "owner.born", "owner.`first name`")
        if column not in prefix
    ]
    # Widths 3 and 4: notes makes them 3 and 3, where the first table is the widest.
    assert list(dict.fromkeys(gone)) == [
        "`pet-shop`.notes",
        "owner.born",
        "`pet-shop`.wt",
        "owner.`first name`",
    ]
    assert all("owner.id" in p and "`pet-shop`.owner_id" in p and "log.line" in p for p in prefixes)


HINTED = "HINT IS LONG Ann bites or sleeps today ?\n"


@pytest.mark.parametrize(
    ("budget", "expected", "dropped"),
    [
        (
            23,
            "matched contents :\nowner.`first name` ( Ann )\n`pet-shop`.notes ( sleeps , bites )\n" + HINTED,
            None,
        ),
        (22, "matched contents :\n`pet-shop`.notes ( sleeps , bites )\n" + HINTED, "some matched values"),
        (17, "matched contents :\n`pet-shop`.notes ( sleeps )\n" + HINTED, "some matched values"),
        (13, "matched contents : None\n" + HINTED, "some matched values"),
        (11, "matched contents : None\nHINT Ann bites or sleeps today ?\n", "the end of some evidence"),
        (10, "matched contents : None\nAnn bites or sleeps today ?\n", "the end of some evidence"),
        (7, "matched contents : None\nAnn bites or\n", "the end of some questions"),
    ],
)
def test_what_goes_first_when_a_suffix_is_too_long(
    pets: Path, budget: int, expected: str, dropped: str | None
) -> None:
    prompter = Prompter(words, 1024, budget)
    assert prompter.suffix(ask(pets, "Ann bites or sleeps today ?", "HINT IS LONG")) == expected
    assert prompter.dropped.get(pets) == dropped


def test_no_room_for_a_question(pets: Path) -> None:
    with pytest.raises(DataError, match="no question fits into 3 tokens") as caught:
        Prompter(words, 1024, 3).suffix(ask(pets, "How many?"))
    assert caught.value.mend == "raise data.max_suffix_tokens"


def test_dropped_says_each_thing_once(pets: Path) -> None:
    prompter = Prompter(words, 90 + 9, 9)
    for _ in range(3):
        prompter.prefix(pets, ENTRY)
        prompter.suffix(ask(pets, "Ann and a question that is very long"))
    assert prompter.dropped == {pets: "sample values; the end of some questions"}


def test_a_long_schema_is_not_counted_column_by_column(tmp_path: Path) -> None:
    columns = ", ".join(f"column_{i} TEXT" for i in range(1500))
    database = make(tmp_path / "wide.sqlite", f"CREATE TABLE t (id INT PRIMARY KEY, {columns});")
    counts = []
    prompter = Prompter(lambda text: counts.append(1) or words(text), 500, 100)
    assert words(prompter.prefix(database)) <= 400
    assert len(counts) <= 15


# Database, question, a line of the prompt, sha256 of the whole prompt.
PINNED = [
    (
        "concert_singer",
        "How many singers do we have?",
        "concert.stadium_id = stadium.stadium_id",
        "2313d1e100b8700b32d26c38fbbc5cbdab2d939c3230fbb4be6dd038c9291d7d",
    ),
    (
        "pets_1",
        "How much does the youngest dog weigh?",
        "pets.pettype ( dog )",
        "57cc97a91a40315e388bd053b8027cd401290c65725ab3ce089cd7c460085bc4",
    ),
    (
        "world_1",
        "Which regions speak Dutch or English?",
        "countrylanguage.language ( English , Dutch )",
        "ca218c96f8bff775941622ed0aac2b3d92fcf77345a35591763730ca95676cbc",
    ),
    (
        "flight_2",
        'Which country does Airline "JetBlue Airways" belong to?',
        "flights.destairport = airports.airportcode",
        "d45e05326929497777d0825853cf15dbfdf5d3e06ea6575b2bd432a7128d0b00",
    ),
]


@pytest.mark.parametrize(("db_id", "question", "line", "digest"), PINNED)
def test_prompts_of_spider_are_pinned(
    data_dir: Path, db_id: str, question: str, line: str, digest: str
) -> None:
    database = find_database(f"spider/{db_id}", data_dir)
    prompter = Prompter(words, 10_000, 1_000)
    prompt = prompter.prefix(database, tables_entry(database)) + prompter.suffix(ask(database, question))
    assert line in prompt.split("\n")
    assert prompt.endswith(f"{question}\n")
    assert hashlib.sha256(prompt.encode()).hexdigest() == digest
    assert not prompter.dropped


def test_training_evaluation_and_a_single_question_get_the_same_prefix(
    spider: DataSet, data_dir: Path
) -> None:
    in_order, reversed_order = Prompter(characters), Prompter(characters)
    for example in spider.examples:
        in_order.suffix(example)
        in_order.prefix(example.database, spider.tables[example.db_id])
    for example in reversed(spider.examples):
        prefix = reversed_order.prefix(example.database, spider.tables[example.db_id])
        assert prefix == in_order.prefix(example.database, spider.tables[example.db_id])
    alone = find_database("spider/world_1", data_dir)
    assert Prompter(characters).prefix(alone, tables_entry(alone)) == in_order.prefix(
        alone, spider.tables["world_1"]
    )


@pytest.mark.parametrize("max_prompt_tokens", [320, 1024])
def test_the_budget_holds_for_all_of_spider(data_dir: Path, max_prompt_tokens: int) -> None:
    prompter, unbounded = Prompter(characters, max_prompt_tokens), Prompter(characters, 99_999)
    entries = {entry["db_id"]: entry for entry in json.loads((data_dir / "spider/tables.json").read_text())}
    assert len(entries) == 166
    for db_id, entry in entries.items():
        database = data_dir / "spider" / "database" / db_id / f"{db_id}.sqlite"
        prefix = prompter.prefix(database, entry)
        assert characters(prefix) <= max_prompt_tokens - 256
        assert prefix.startswith("database schema :\n")
        assert prefix.endswith("\n")
        assert (database in prompter.dropped) == (prefix != unbounded.prefix(database, entry))


def test_the_suffix_budget_holds_for_spider_dev(spider: DataSet) -> None:
    prompter = Prompter(characters, 1024, 24)
    assert all(characters(prompter.suffix(example)) <= 24 for example in spider.examples)
    assert any("questions" in phrase for phrase in prompter.dropped.values())
