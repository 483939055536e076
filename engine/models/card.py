"""A student's model card: what it is made of, what it reached, how it is asked, what its licences are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.data.releases import SETS
from engine.evaluation.card import shown, shown_interval
from engine.models.card_origin import is_ours, licences, making, on_hub, provenance, set_name, sets, table
from engine.profile import Profile

_ROLES = {"teacher": "teacher", "student_before": "student before", "student": "**this student**"}


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the student's answer to it.

    start: ids before the prompt, such as BOS. prefix, suffix: the prompt; tokenised apart.
    answer: as the exported model gives it. gold: the right one.
    """

    start: tuple[int, ...]
    prefix: str
    suffix: str
    question: str
    answer: str
    gold: str


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    figures: of the exported student, as summary.summarise gives them, as far as they are known.
    step: of training, at which it was kept; None: the last.
    seq2seq: an encoder–decoder model. text_task: it writes texts, not SQL.
    gguf: name of the GGUF file; None: an ordinary directory of transformers.
    cuts_alike: llama.cpp makes the tokenizer's tokens of a text.
    checked, same: questions asked of the exported model, and those that it answers as the run's own student.
    whole: of them, those whose prompt is the same tokens when tokenised in one piece.
    """

    run: str
    info: Mapping[str, Any]
    report: Mapping[str, Any]
    figures: Mapping[str, Any]
    step: int | None
    example: Example
    seq2seq: bool
    text_task: bool
    gguf: str | None
    cuts_alike: bool
    checked: int
    same: int
    whole: int

    @property
    def profile(self) -> Profile:
        return Profile.model_validate(self.info["profile"])


def model_card(facts: Facts) -> str:
    """The card as README.md: YAML for the hub, then Markdown."""
    task = "a text task" if facts.text_task else "text-to-SQL"
    lines = [
        *_front_matter(facts),
        "",
        f"# {facts.run}",
        "",
        f"A language model for {task}, distilled with kid by the method `{facts.profile.method.name}`"
        " (KID: arXiv 2410.11371).",
        "",
        *_scores(facts),
        *_use(facts),
        *making(facts.profile, facts.report, facts.step),
        *licences(facts.profile),
        *provenance(facts.run, facts.info),
    ]
    return "\n".join(lines).rstrip() + "\n"


def code(facts: Facts) -> str:
    """The lines that ask the model with plain transformers; they stand in the exported folder."""
    kind = "AutoModelForSeq2SeqLM" if facts.seq2seq else "AutoModelForCausalLM"
    ids = f"{list(facts.example.start)} + " if facts.example.start else ""
    end = " + [tokenizer.eos_token_id]" if facts.seq2seq else ""
    answer = "answer[0]" if facts.seq2seq else "answer[0, ids.shape[1]:]"
    text = f"tokenizer.decode({answer}, skip_special_tokens=True)"
    return "\n".join(
        (
            "import json, torch",
            f"from transformers import {kind}, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained(".")',
            f'model = {kind}.from_pretrained(".")',
            'example = json.load(open("example.json", encoding="utf-8"))',
            'pieces = example["prefix"], example["suffix"]',
            'parts = [tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in pieces]',
            f"ids = torch.tensor([{ids}parts[0] + parts[1]{end}])",
            "answer = model.generate(ids, attention_mask=torch.ones_like(ids))",
            f"print({text})" if facts.text_task else f'print(" ".join({text}.split()))',
        )
    )


def _front_matter(facts: Facts) -> Iterator[str]:
    profile = facts.profile
    base = profile.student.model or (profile.teacher.model if profile.teacher else "")
    hubs = dict.fromkeys(SETS[name].hub.partition("@")[0] for name in sets(profile) if name in SETS)
    yield "---"
    yield f"license: {'apache-2.0' if is_ours(profile) else 'other'}"
    if not is_ours(profile):
        yield "license_name: not-determined"
    if on_hub(base):
        yield f"base_model: {json.dumps(base)}"
    if any(hubs):
        yield "datasets:"
        yield from (f"- {json.dumps(name)}" for name in hubs if name)
    yield "language: en"
    yield f"library_name: {'gguf' if facts.gguf else 'transformers'}"
    yield f"pipeline_tag: {'text2text-generation' if facts.seq2seq else 'text-generation'}"
    yield "tags:"
    tags = ["kid", "knowledge-distillation", *([] if facts.text_task else ["text-to-sql"])]
    yield from (f"- {tag}" for tag in (*tags, *(["gguf"] if facts.gguf else [])))
    yield "---"


def _scores(facts: Facts) -> Iterator[str]:
    metric = "Exact match of the whole text" if facts.text_task else "Execution accuracy (EX)"
    data = set_name(facts.report["data"]["eval"]["name"])
    when = "" if facts.step is None else f" This is the student of step {facts.step}, the best one seen."
    yield "## Scores"
    yield ""
    yield f"{metric} on {facts.figures['ex']['num']} questions of {data}.{when}"
    yield ""
    told = {**facts.report["scores"], "student": facts.figures}
    yield from table(
        ("model", "score", "95 % interval", "questions"),
        [
            (name, shown(told[role]["ex"]), shown_interval(told[role]["ex"]), str(told[role]["ex"]["num"]))
            for role, name in _ROLES.items()
            if told.get(role) and told[role]["ex"]
        ],
    )
    yield ""
    if levels := facts.figures["by_difficulty"]:
        yield from table(
            ("difficulty", "score", "95 % interval", "questions"),
            [
                (level, shown(part["ex"]), shown_interval(part["ex"]), str(part["num"]))
                for level, part in levels.items()
            ],
        )
        yield ""
    if errors := {kind: part["first"] for kind, part in facts.figures["errors"].items() if part["first"]}:
        yield from table(
            ("first cause of a wrong answer", "answers"), [(kind, str(num)) for kind, num in errors.items()]
        )
        yield ""


def _use(facts: Facts) -> Iterator[str]:
    example = facts.example
    yield "## How it is asked"
    yield ""
    yield (
        "It has learnt one form of prompt, to the letter: other words or another order give worse answers."
        " A whole prompt from its evaluation set (`example.json` has it, too):"
    )
    yield ""
    yield from _fenced(example.prefix + example.suffix)
    yield ""
    language = "" if facts.text_task else "sql"
    yield "Its answer, which is the right one:" if example.answer == example.gold else "Its answer:"
    yield ""
    yield from _fenced(example.answer, language)
    yield ""
    if example.answer != example.gold:
        yield "The right one:"
        yield ""
        yield from _fenced(example.gold, language)
        yield ""
    if facts.gguf:
        yield from _llama_cpp(facts, facts.gguf)
    else:
        pieces = ("context", "prompt") if facts.text_task else ("the database", "the question")
        yield "With transformers, in this folder:"
        yield ""
        yield from _fenced(code(facts), "python")
        yield ""
        yield (
            f"The prompt is two pieces, `prefix` ({pieces[0]}) and `suffix` ({pieces[1]}), tokenised apart."
            f" In one piece, {facts.whole} of {facts.checked} prompts gave the same tokens."
        )
    yield ""
    yield (
        f"The files were loaded again after writing: {facts.same} of {facts.checked} questions got the"
        " answer of the run's own student, letter for letter."
    )
    yield ""
    if not facts.text_task:
        yield (
            "The SQL may be wrong, and wrong SQL may look right. Run it with rights to read only, and have"
            " answers that matter checked."
        )
        yield ""


def _llama_cpp(facts: Facts, file: str) -> Iterator[str]:
    yield "With llama.cpp's server and with Ollama, in this folder (`request.json` is the prompt above):"
    yield ""
    yield from _fenced(
        f"llama-server -m {file} &\n"
        "curl -d @request.json http://localhost:8080/completion\n\n"
        "ollama create student -f Modelfile\n"
        "curl -d @request.json http://localhost:11434/api/generate",
        "sh",
    )
    yield ""
    yield (
        f"The prompt is tokenised there in one piece: {facts.whole} of {facts.checked} prompts are then the"
        " tokens that the student was trained on."
    )
    if not facts.cuts_alike:
        yield ""
        yield (
            "**Its tokenizer cuts text into words in a way that llama.cpp does not know**, so llama.cpp makes"
            " other tokens of a prompt, and the answers are worse. Use the transformers form of this model."
        )


def _fenced(text: str, language: str = "") -> Iterator[str]:
    """Text as it stands, whatever rows of backticks are in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    yield "`" * (longest + 1) + language
    yield text.removesuffix("\n")
    yield "`" * (longest + 1)
