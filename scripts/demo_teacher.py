"""Makes what ships in engine/data/demo/teacher: the tokenizer, the shape, and trained weights.

python scripts/demo_teacher.py tokenizer        # trains the BPE tokenizer, writes it and config.json
kid distill --profile demo-teacher              # trains the weights from a random start
python scripts/demo_teacher.py pack RUN         # stores that run's student here, in bfloat16
"""

from __future__ import annotations

import argparse
import json

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from engine import paths, runs
from engine.data import benchmarks
from engine.data.prompt import Prompter
from engine.models.load import load_model

FOLDER = paths.demo_source() / "teacher"
SPECIAL = ["<pad>", "</s>", "<s>"]
VOCABULARY = 1500
# Keywords, aliases (T1) and lower-case words take the blank before them along. Names and numbers do not:
# they are the same tokens behind a blank (in a question) and behind a quote (in SQL), so they can be copied.
PIECES = r" ?[A-Z]\d| ?[A-Z]{2,}| ?[\p{Ll}_]+|\p{Lu}\p{L}*|\d+| ?[^\s\p{L}\d_]+|\s+"
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 1024,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": True,
}


def make_tokenizer() -> None:
    """Byte-level BPE over the demo's training prompts and SQL."""
    data = benchmarks.load("demo/train")
    prompter = Prompter(len, 100_000, 50_000)
    texts = [
        prompter.prefix(database) for database in sorted({example.database for example in data.examples})
    ]
    texts = 20 * texts + [prompter.suffix(e) + prompter.target(e.query) for e in data.examples]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    wrapped.save_pretrained(FOLDER)
    LlamaConfig(
        **SHAPE,
        architectures=["LlamaForCausalLM"],
        vocab_size=len(wrapped),
        pad_token_id=wrapped.pad_token_id,
        eos_token_id=wrapped.eos_token_id,
        bos_token_id=wrapped.bos_token_id,
    ).save_pretrained(FOLDER)
    lengths = [
        len(wrapped(prompter.prefix(d))["input_ids"]) for d in sorted({e.database for e in data.examples})
    ]
    answers = sorted(len(wrapped(prompter.target(e.query))["input_ids"]) for e in data.examples)
    print(
        f"{len(wrapped)} tokens; prefixes {lengths}; "
        f"answers median {answers[len(answers) // 2]}, longest {answers[-1]}"
    )


def pack(reference: str) -> None:
    """Stores a run's student as the shipped teacher, with what it scored in the file's metadata."""
    run = runs.find(reference)
    report = json.loads((run.path / "report.json").read_text())
    model = load_model(f"run:{run.id}", dtype=torch.bfloat16)
    weights = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    metadata = {
        "format": "pt",
        "recipe": "kid distill --profile demo-teacher",
        "steps": str(report["steps"]),
        "ex": f"{report['ex']['student']:.4f}",
        "num_questions": str(report["num_questions"]),
        "data": report["data"]["train"]["fingerprint"],
    }
    save_file(weights, FOLDER / "model.safetensors", metadata)
    (FOLDER / "model.safetensors").chmod(0o644)
    print(f"{FOLDER / 'model.safetensors'}: {metadata}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tokenizer")
    commands.add_parser("pack").add_argument("run")
    arguments = parser.parse_args()
    make_tokenizer() if arguments.command == "tokenizer" else pack(arguments.run)
