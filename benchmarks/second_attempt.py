"""What mends a query that fails: the model's other beams, or the database's message.

    python benchmarks/second_attempt.py [--questions N] [--beams N …] [--json FILE]

The demo's untrained student and its teacher answer a stratified sample of demo/dev. Of the answers that
fail, counted are those for which a second one runs, and gives the gold's result: the likeliest of N beams
that runs; and what the model writes when the failed SQL and the message stand before the question.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from engine import profile as profiles
from engine.data import benchmarks
from engine.data.benchmarks import Example
from engine.evaluation.sample import stratified
from engine.evaluation.score import score
from engine.models.encode import Encoder
from engine.models.pair import build_pair
from engine.models.threads import set_threads
from engine.protocol import Decoding
from engine.question import Question
from engine.sql.execute import Executor
from engine.writer import Writer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--beams", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    profile = profiles.load("demo")
    set_threads(profile)
    pair = build_pair(profile)
    examples = stratified(benchmarks.load("demo/dev").examples, options.questions)
    found = {}
    with Executor() as executor:
        for name, model in (("untrained student", pair.student), ("teacher", pair.teacher)):
            encoder = Encoder(pair.tokenizer, profile.data)
            writer = Writer(model.eval(), encoder, executor, profile.data.max_answer_tokens)
            found[name] = measure(writer, executor, examples, options.beams)
            print(f"{name}: {found[name]['failed']['runs']} of {len(examples)} answers fail")
            for way, counts in found[name].items():
                if way != "failed":
                    print(f"  {way:<12} {counts['runs']:4} run, {counts['right']:4} right")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(
    writer: Writer, executor: Executor, examples: list[Example], beams: list[int]
) -> dict[str, dict[str, int]]:
    """Way -> how many second answers run, and are right; `failed`: the first answers that fail."""
    ways = ["failed", *(f"{number} beams" for number in beams), "the message"]
    found = {way: {"runs": 0, "right": 0} for way in ways}

    def write(question: Question) -> str:
        return writer.write(question, Decoding(), lambda text, share: None, lambda: None).sql

    def note(way: str, example: Example, sql: str | None) -> None:
        if sql is not None and not executor.run(example.database, sql, 1).error:
            found[way]["runs"] += 1
            found[way]["right"] += bool(score([example], [sql], executor=executor)[0].correct)

    for example in examples:
        question = Question(example.database, example.question)
        sql = write(question)
        outcome = executor.run(example.database, sql, 1)
        if not outcome.error:
            continue
        found["failed"]["runs"] += 1
        for number in beams:
            others = (written.sql for written in writer.alternatives(question, number, lambda: None))
            running = (other for other in others if not executor.run(example.database, other, 1).error)
            note(f"{number} beams", example, next(running, None))
        note("the message", example, write(replace(question, evidence=f"{sql} : {outcome.message} .")))
    return found


if __name__ == "__main__":
    main()
