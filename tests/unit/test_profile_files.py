"""Profile files: listed, copied, renamed, deleted; read key by key, and what is typed for a key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tomli

from engine import paths, profile, profile_edit
from engine.errors import KidError, UsageError
from kidtui import profile_files
from kidtui.profile_files import Entry


@pytest.fixture
def write():
    def write(name: str, text: str) -> Path:
        folder = paths.user_profiles()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.toml"
        path.write_text(text)
        return path

    return write


def test_a_circle_of_links_is_one_broken_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "loop.toml").symlink_to("loop.toml")
    monkeypatch.chdir(tmp_path)
    entries = {entry.name: entry for entry in profile_files.entries()}
    assert "cannot be read" in entries["loop"].problem
    assert entries["demo"].problem == ""
    assert profile_files.extended_by(entries["loop"].path, entries.values()) == []


def test_a_vanished_working_directory_leaves_the_shipped_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "demo" in [entry.name for entry in profile_files.entries()]


def entry(name: str) -> Entry:
    return next(entry for entry in profile_files.entries() if entry.name == name)


def test_entries_say_whose_they_are_what_they_build_on_and_what_is_wrong(write):
    write("fast", 'extends = "demo"\ndescription = "quick"\n')
    write("faster", 'extends = "fast"\n[train]\nseed = -1\n')
    write("a", 'extends = "b"\n')
    write("b", 'extends = "a"\n')
    write("broken", "[train\n")
    write("odd \x1b[31m", 'extends = "demo"\n')
    fast, faster = entry("fast"), entry("faster")
    assert (fast.origin, fast.description, fast.problem) == ("user", "quick", "")
    assert [base.stem for base in faster.bases] == ["fast", "demo"]
    assert faster.problem == "train.seed = -1 must be at least 0"
    assert "circle: a → b → a" in entry("a").problem
    assert entry("broken").problem.startswith("not valid TOML")
    assert "name" in entry("odd \x1b[31m").problem
    assert entry("demo").origin == "shipped"
    assert [child.name for child in profile_files.extended_by(fast.path, profile_files.entries())] == [
        "faster"
    ]


def test_what_is_no_file_answers_at_once(write):
    os.mkfifo(write("pipe", "").with_name("real-pipe.toml"))
    assert "no file" in entry("real-pipe").problem
    with pytest.raises(KidError, match="no file"):
        profile_files.text_of(entry("real-pipe").path)
    with pytest.raises(KidError, match="no longer there"):
        profile_files.text_of(paths.user_profiles() / "gone.toml")
    write("large", "# " + "x" * (1 << 20))
    with pytest.raises(KidError, match="too large"):
        profile_files.text_of(entry("large").path)
    write("latin", "").write_bytes(b"# \xe9")
    with pytest.raises(KidError, match="UTF-8"):
        profile_files.text_of(entry("latin").path)


def test_names(write):
    write("fast", 'extends = "demo"\n')
    among = profile_files.entries()
    assert profile_files.name_problem("fast", among) == "there is a user profile of this name"
    assert profile_files.name_problem("../x", among)
    assert profile_files.name_problem("x" * 61, among)
    assert profile_files.name_problem("fast-2", among) == ""
    assert profile_files.free_name("fast", among) == "fast-2"
    assert profile_files.free_name("\x1b o/d", among) == "od"


def test_a_copy_has_the_whole_text_and_a_shipped_one_is_built_upon(write):
    text = '# why\nname = "fast"\nextends = "demo"\n[train]\nseed = 1  # one\n'
    write("fast", text)
    path = profile_files.duplicate(entry("fast"), "copy", text)
    assert path.read_text() == text.replace('"fast"', '"copy"')
    mine = profile_files.duplicate(entry("qwen-0.5b"), "mine", "")
    assert 'extends = "qwen-0.5b"' in mine.read_text()
    assert profile.load("mine").train.epochs == 8
    with pytest.raises(UsageError, match="exists already"):
        profile_files.duplicate(entry("fast"), "copy", text)


def test_what_builds_on_a_renamed_profile_follows(write):
    write("fast", '# mine\nextends = "demo"\n')
    write("by-name", 'extends = "fast"  # quick\n')
    write("by-path", 'extends = "./fast.toml"\n')
    profile_files.rename(entry("fast"), "slow", profile_files.entries())
    assert 'extends = "slow"  # quick' in (paths.user_profiles() / "by-name.toml").read_text()
    assert [base.stem for base in entry("by-path").bases] == ["slow", "demo"]
    assert entry("slow").problem == entry("by-name").problem == ""
    with pytest.raises(UsageError, match="exists already"):
        profile_files.rename(entry("slow"), "by-name", profile_files.entries())
    gone = entry("slow")
    profile_files.delete(gone)
    profile_files.delete(gone)
    assert "slow" in entry("by-name").problem
    with pytest.raises(KidError, match=r"slow\.toml"):
        profile_files.rename(gone, "late", [])


def test_every_key_is_read_with_the_file_that_says_it(write):
    base = write("base", 'extends = "demo"\n[teacher]\nadapter = "x"\n[train]\nseed = 3\n')
    path = base.with_name("top.toml")
    told = profile_edit.read(path, 'extends = "base"\nteacher = "none"\n[train]\nepochs = 2\n').settings
    where = {key: (told[key].value, told[key].source and told[key].source.stem) for key in told}
    assert where["train.epochs"] == (2, "top")
    assert where["train.seed"] == (3, "base")
    assert where["student.keep_layers"] == ([0, 1, 3, 5], "demo")
    assert where["eval.timeout"] == (10.0, None)
    assert where["teacher"] == ("none", "top")
    assert where["teacher.adapter"] == (None, None), "its table is taken out"
    assert where["name"] == ("top", None)
    assert where["description"] == ("", None), "what a file says of itself is not handed on"
    assert not [key for key in told if key.startswith("recorded.")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", "not valid TOML"),
        ('extends = "demo"\n[train]\nsed = 1\n', "unknown key 'train.sed'"),
        ('extends = "top"\n', "circle"),
        ("extends = 3\n", "extends must be the name"),
        ('extends = "demo"\n[train]\nseed = -1\n', "train.seed = -1 must be at least 0"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("[train]\nseed = " + "9" * 5000, "not valid TOML"),
        ('extends = "~nobody-here/x.toml"', "is no path"),
        (f'extends = "{"a" * 5000}.toml"', "is no path"),
    ],
)
def test_what_is_wrong_is_one_line(write, text, words):
    (problem,) = profile_edit.read(write("top", text), text).problems
    assert words in problem.message
    assert "\n" not in problem.message


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("train.learning_rate", " 2e-4 ", "learning_rate = 2e-4"),
        ("train.seed", "abc", 'seed = "abc"'),
        ("student.keep_layers", "0, 2", "keep_layers = [0, 2]"),
        ("student.keep_layers", "none", 'keep_layers = "none"'),
        ("student.lora.targets", '["q"]', 'targets = ["q"]'),
        ("student.lora.targets", "all-linear", 'targets = "all-linear"'),
        ("student.model", "12", 'model = "12"'),
        ("student.model", "'a b'", "model = 'a b'"),
        ("data.evidence", "false", "evidence = false"),
        ("method.name", 'a"b', 'name = "a\\"b"'),
    ],
)
def test_what_is_typed_becomes_toml(key, text, line):
    assert line in profile_edit.with_value("", key, profile_edit.typed(key, text)).splitlines()


def test_an_empty_value_takes_the_key_out_and_the_table_that_it_leaves_empty():
    text = "[student]\nlora = { rank = 3 }\n# why\nmodel = 'x'\n\n[train]\nseed = 1\n"
    assert profile_edit.typed("train.seed", " ") is None
    text = profile_edit.with_value(text, "student.lora.rank", None)
    text = profile_edit.with_value(text, "train.seed", None)
    assert text.strip() == "[student]\n# why\nmodel = 'x'"
    assert "# why" in profile_edit.with_value(text, "student.model", None)


def test_the_choices_of_a_key():
    assert profile_edit.choices("method.rewrite") == ("predict", "sample", "mask")
    assert profile_edit.choices("data.evidence") == ("true", "false")
    assert profile_edit.choices("train.seed") == profile_edit.choices("extends") == ()


@pytest.mark.parametrize("name", ["qwen-1.5b", "smollm2-135m"])
def test_whatever_key_is_changed_every_comment_stays(name):
    text = (paths.shipped_profiles() / f"{name}.toml").read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    for key, _ in profile.keys().items():
        if profile_edit.is_table(key) or key.startswith("recorded"):
            continue
        changed = profile_edit.with_value(text, key, 7)
        assert [line for line in changed.splitlines() if line.startswith("#")] == comments
        value = tomli.loads(changed)
        for part in key.split("."):
            value = value[part]
        assert value == 7
