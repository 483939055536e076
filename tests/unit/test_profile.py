"""Profiles: what is read, inherited, overridden and refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import paths, profile
from engine.errors import KidError, ProfileError, UsageError
from engine.profile_edit import set_value

SHIPPED = sorted(file.stem for file in paths.shipped_profiles().glob("*.toml"))
SMALL = '[teacher]\nmodel = "t"\n[student]\nkeep_layers = [0, 2]\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes ./profiles/NAME.toml and stands beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()

    def write(name: str, text: str) -> Path:
        path = tmp_path / "profiles" / f"{name}.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads(name):
    assert profile.load(name).name == name


def test_what_ships():
    assert {"demo", "demo-teacher", "smollm2-135m", "smollm2-135m-teacher", "qwen-0.5b", "qwen-1.5b",
            "qwen-7b-teacher", "codegen-350m", "tinyllama-1.1b"} <= set(SHIPPED)  # fmt: skip


def test_the_papers_settings():
    assert profile.load("qwen-1.5b").student.lora.rank == 64
    assert profile.load("codegen-350m").student.lora.rank == 8
    tiny = profile.load("tinyllama-1.1b")
    assert (tiny.train.epochs, tiny.data.max_prompt_tokens, tiny.data.max_answer_tokens) == (4, 2048, 256)


def test_inheritance_and_overrides(write):
    write("base", SMALL + "[train]\nepochs = 3\nseed = 7\n")
    write("mine", 'extends = "base"\n[train]\nepochs = 5\n')
    made = profile.load("mine", ["method.name=rkd", "train.learning_rate=3e-4", "student.keep_layers=[0]"])
    assert (made.train.epochs, made.train.seed) == (5, 7)
    assert (made.method.name, made.train.learning_rate, made.student.keep_layers) == ("rkd", 3e-4, [0])


def test_a_circle_is_named(write):
    write("a", 'extends = "b"\n' + SMALL)
    write("b", 'extends = "a"\n')
    with pytest.raises(ProfileError, match=r"circle: .*a.*b"):
        profile.load("a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nlearning_rat = 1\n", ["profiles/x.toml", "train.learning_rat", "learning_rate"]),
        ("[trian]\nepochs = 1\n", ["trian.epochs", "train.epochs"]),
        ("[method]\nmask_ratio = 1.5\n", ["profiles/x.toml", "method.mask_ratio", "at most 1", "0.1 to 0.3"]),
        ('[method]\nname = "kidd"\n', ["method.name", "did you mean 'kid'?"]),
        ('[train]\nepochs = "two"\n', ["train.epochs", "number"]),
        ("[data]\nmax_suffix_tokens = 2000\n", ["max_suffix_tokens", "no room"]),
        ("[student]\nkeep_layers = [3, 1]\n", ["keep_layers", "ascending"]),
        ("[train\n", ["profiles/x.toml", "not valid TOML", "line 1"]),
    ],
)
def test_what_is_wrong_is_said(write, text, words):
    write("x", text if "[student]" in text or "[train\n" in text else text + SMALL)
    with pytest.raises(ProfileError) as raised:
        profile.load("x")
    assert raised.value.exit_code == 2
    for word in words:
        assert word in str(raised.value), str(raised.value)


def test_a_method_that_needs_a_teacher():
    with pytest.raises(ProfileError, match="needs a teacher"):
        profile.load("demo-teacher", ["method.name=kid"])


def test_the_nearest_profile_is_named():
    with pytest.raises(ProfileError, match=r"qwen-1\.5b"):
        profile.load("qwen-1.5")


@pytest.mark.parametrize("override", ["train.epochs", "=3"])
def test_an_override_without_a_value(override):
    with pytest.raises(UsageError, match="not key=value"):
        profile.load("demo", [override])


def test_a_profile_survives_its_own_toml(write):
    made = profile.load("qwen-0.5b")
    assert profile.from_file(write("again", made.toml())).model_dump() == made.model_dump()


def test_edits_keep_comments_and_are_whole(write, monkeypatch):
    path = write("mine", "# why\n" + SMALL + "[train]\nepochs = 3  # enough\n")
    set_value(path, "train.epochs", 4)
    set_value(path, "train.seed", 9)
    assert "# why" in path.read_text()
    assert "epochs = 4  # enough" in path.read_text()
    assert (profile.load("mine").train.epochs, profile.load("mine").train.seed) == (4, 9)
    before = path.read_text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(KidError, match="disk is full"):
        set_value(path, "train.seed", 10)
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == ["mine.toml"]


def test_the_json_schema_knows_every_key():
    schema = profile.json_schema()
    assert {"extends", "teacher", "student", "method", "data", "train", "eval"} <= set(schema["properties"])
