"""Our RKD and GKD steps beside those of TRL's trainers, on the same models and questions.

    python benchmarks/against_trl.py [--setting spider|demo|qwen] [--short] [--device cpu|cuda] [--repeats N]
                                     [--json FILE]

A step is forward, backward and AdamW; all train one student, interleaved in one process, and figures are
medians. TRL's part is its trainers' own `training_step` on a batch of all questions, without gradient
checkpointing (its default is with it, which is slower) and otherwise as it comes: SDPA, generation with a
cache, no vLLM. No batch is padded, since all rows are of one length. On the CPU all compute in float32, on a
GPU in bfloat16 (autocast).

RKD, TRL            GKDTrainer, λ = 0, β = 1: reverse KL on the gold answers. Teacher and student read whole
                    rows, with logits at every place.
RKD, kid            method "rkd". Its loss has an MLE term too, which TRL's has not.
GKD, GKDTrainer     λ = 1, β = 1: `generate` samples answers from whole prompts; then as above.
GKD, Distillation   DistillationTrainer, β = 1: the same, but heads run over the answers alone, in tiles. It
                    takes its prompts as text, and tokenises them in the step (milliseconds).
GKD, kid            method "gkd", on_policy = 1: sampled behind the shared prefix.

Ours runs the prefix once a step for each model, and once more for sampling; nothing is kept from the step
before. All divide the divergence by the number of the batch's answer tokens: on gold answers the three losses
are equal, which is asserted before anything is timed. All sample at temperature 1 and to the same length:
the end token is an id beyond the models' vocabulary, so that nothing ends an answer. This is asserted too.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from steps import (
    BANNED,
    DATABASE,
    MASK,
    PAD,
    SETTINGS,
    Setting,
    autocast,
    make_pair,
    make_questions,
    medians,
    now,
    optimizer_steps,
    print_machine,
    print_table,
    report,
)

from engine import settings
from engine.distill.objective import Objective
from engine.distill.step_result import StepResult
from engine.models.encode import Item

TRL_ON_POLICY = ("GKD, GKDTrainer", "GKD, Distillation")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=list(SETTINGS), nargs="+", default=["spider", "demo"])
    parser.add_argument("--short", action="store_true", help="spider alone, two rounds")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names, repeats = (["spider"], 2) if options.short else (options.setting, options.repeats)
    try:
        import trl
    except ImportError:
        raise SystemExit("this benchmark needs TRL: pip install 'kid-sql[bench]'") from None
    warnings.filterwarnings("ignore", category=FutureWarning)  # of TRL's own calls
    print_machine(options.device)
    print(f"trl {trl.__version__}")
    found = {name: compare(SETTINGS[name], repeats, options.short, options.device) for name in names}
    report(options.json, found[names[0]]["ratios"], found, options.device)


def compare(setting: Setting, repeats: int, short: bool, device: str) -> dict[str, Any]:
    teacher, student = make_pair(setting, device)
    prefix, items = make_questions(setting)
    with tempfile.TemporaryDirectory() as folder:
        trl = Trl(setting, teacher, student, prefix, items, folder)
    rkd = kid_step("rkd", setting, teacher, student, prefix, items)
    gkd = kid_step("gkd", setting, teacher, student, prefix, items)
    losses = check_same_loss(trl, rkd, student)
    print("same loss on gold answers: " + ", ".join(f"{loss:.6f} {name}" for name, loss in losses.items()))
    ways = {
        "RKD, TRL": trl.rkd,
        "RKD, kid": rkd,
        "GKD, GKDTrainer": trl.gkd,
        "GKD, Distillation": trl.distillation,
        "GKD, kid": gkd,
    }
    steps = optimizer_steps(ways, student)
    if short:
        slower = max(TRL_ON_POLICY, key=lambda name: timed(steps[name], device))
        steps.pop(slower)
        print(f"left out, the slower of two in a first round: {slower}")
    seconds = medians(steps, repeats, device)
    print_table(f"{setting.name}: {setting}", seconds, ["RKD, TRL"])
    ratios = {
        "rkd_vs_trl": seconds["RKD, kid"] / seconds["RKD, TRL"],
        "gkd_vs_trl": seconds["GKD, kid"] / min(seconds[name] for name in TRL_ON_POLICY if name in seconds),
    }
    return {"sizes": asdict(setting), "seconds": seconds, "losses": losses, "ratios": ratios}


def timed(step: Callable[[], object], device: str) -> float:
    """Seconds of one step."""
    start = now(device)
    step()
    return now(device) - start


def kid_step(
    name: str,
    setting: Setting,
    teacher: Any,
    student: Any,
    prefix: Sequence[int],
    items: Sequence[Item],
    **method: Any,
) -> Callable[[], StepResult]:
    """Forward and backward of our own step. `method`: more keys of the profile's [method]."""
    objective = Objective(
        student,
        teacher,
        settings.Method.model_validate({"name": name, **method}),
        mask_id=MASK,
        banned=BANNED,
        eos_id=setting.vocabulary,
        pad_id=PAD,
        seed=0,
        max_new_tokens=setting.sql,
        autocast=autocast(student.device),
    )

    def step() -> StepResult:
        result = objective.accumulate([items], {DATABASE: prefix}, epoch=0)
        assert result.num_tokens == setting.questions * setting.sql
        return result

    return step


class Trl:
    """TRL's trainers of one student and teacher, and the batch of all questions.

    Args:
        folder: where the trainers would write, if they did.
    """

    def __init__(
        self,
        setting: Setting,
        teacher: Any,
        student: Any,
        prefix: Sequence[int],
        items: Sequence[Item],
        folder: str,
    ) -> None:
        from datasets import Dataset
        from trl import DistillationConfig, DistillationTrainer
        from trl.experimental.gkd import GKDConfig, GKDTrainer

        self.setting = setting
        given = {
            "output_dir": folder,
            "per_device_train_batch_size": setting.questions,
            "beta": 1.0,
            "temperature": 1.0,
            "gradient_checkpointing": False,
            "bf16": student.device.type == "cuda",
            "use_cpu": student.device.type == "cpu",
            "report_to": "none",
        }
        student.generation_config.eos_token_id = setting.vocabulary
        parts = {
            "train_dataset": Dataset.from_list([_row(prefix, item) for item in items]),
            "processing_class": _tokenizer(setting.vocabulary),
        }
        # A trainer replaces its model's `forward`: each gets a shell of its own around the same weights.
        self._gkd = GKDTrainer(
            copy.copy(student),
            copy.copy(teacher),
            GKDConfig(**given, max_length=None, max_new_tokens=setting.sql),
            **parts,
        )
        self._distillation = DistillationTrainer(
            copy.copy(student),
            copy.copy(teacher),
            DistillationConfig(**given, max_completion_length=setting.sql),
            **parts,
        )
        self.batch, self._num_tokens = self._only_batch(self._gkd)
        self._prompts, _ = self._only_batch(self._distillation)

    @staticmethod
    def _only_batch(trainer: Any) -> tuple[Any, torch.Tensor | None]:
        """As the trainer's loop would read it, with its number of trained tokens where it has labels."""
        trainer.current_gradient_accumulation_steps = 1
        (batch,), num_tokens = trainer.get_batch_samples(
            iter(trainer.get_train_dataloader()), 1, trainer.args.device
        )
        return batch, num_tokens

    def rkd(self) -> torch.Tensor:
        return self._gkd_step(on_policy=0.0)

    def gkd(self) -> torch.Tensor:
        return self._gkd_step(on_policy=1.0)

    def _gkd_step(self, on_policy: float) -> torch.Tensor:
        self._gkd.lmbda = on_policy
        batch = dict(self.batch)  # the step puts its samples into it
        loss = self._gkd.training_step(self._gkd.model, batch, self._num_tokens)
        assert (batch["labels"] != -100).sum() == self.setting.questions * self.setting.sql
        return loss

    def distillation(self) -> torch.Tensor:
        seen = self._distillation.state.num_input_tokens_seen
        loss = self._distillation.training_step(self._distillation.model, self._prompts, None)
        read = self._distillation.state.num_input_tokens_seen - seen
        assert read == self.batch["input_ids"].numel()
        return loss

    def rkd_loss(self) -> torch.Tensor:
        return self._gkd.compute_loss(self._gkd.model, self.batch, num_items_in_batch=self._num_tokens)

    def distillation_loss(self) -> torch.Tensor:
        """DistillationTrainer's loss on the gold answers, which it never reads in training."""
        split = self.batch["prompts"].shape[1]
        ids, ones = self.batch["input_ids"], self.batch["attention_mask"]
        inputs = {
            "prompt_ids": ids[:, :split],
            "prompt_mask": ones[:, :split],
            "completion_ids": ids[:, split:],
            "completion_mask": ones[:, split:],
            "num_items_in_batch": self._num_tokens,
        }
        return self._distillation.compute_loss(self._distillation.model, inputs)


def _row(prefix: Sequence[int], item: Item) -> dict[str, Any]:
    prompt = [*prefix, *item.suffix]
    return {
        "prompt": " ".join(f"t{token}" for token in prompt),
        "input_ids": [*prompt, *item.answer],
        "completion_mask": [0] * len(prompt) + [1] * len(item.answer),
    }


def _tokenizer(vocabulary: int) -> Any:
    """Reads "t5 t6" as [5, 6]. Its end token is an id that no model here can say."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": PAD, "<end>": vocabulary} | {f"t{id}": id for id in range(vocabulary) if id != PAD}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


def check_same_loss(trl: Trl, rkd: Callable[[], StepResult], student: Any) -> dict[str, float]:
    """The three losses on gold answers, which must be equal but for rounding (bfloat16 rounds more)."""
    losses = {"kid": rkd().loss_kd}
    student.zero_grad(set_to_none=True)
    with torch.no_grad(), autocast(student.device)():
        losses["GKDTrainer"] = trl.rkd_loss().item()
        losses["DistillationTrainer"] = trl.distillation_loss().item()
    tolerance = 1e-4 if student.device.type == "cpu" else 2e-2
    for name, loss in losses.items():
        assert abs(loss / losses["kid"] - 1) < tolerance, f"{name} has another loss: {losses}"
    return losses


if __name__ == "__main__":
    main()
