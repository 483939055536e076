"""One run from its directory to its report: load, score before, train, score after."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engine.data import benchmarks, corrections, text_task
from engine.data.benchmarks import DataSet
from engine.distill.batches import Plan
from engine.distill.control import Control, StopRequested
from engine.distill.methods import METHODS
from engine.distill.objective import Objective
from engine.distill.ranks import Ranks, joined
from engine.distill.teacher_text import Answers, Writing, teacher_text
from engine.distill.trainer import Trainer
from engine.distill.ways import Choice, Way, kept_choice, other_ways, usual_way
from engine.errors import DataError, KidError
from engine.evaluation import report
from engine.evaluation.scorer import Scorer
from engine.models.encode import Encoder, Item
from engine.models.locate import fingerprint
from engine.models.pair import Pair, build_pair
from engine.models.prefix import Form, choose_form
from engine.models.quantize import num_parameters
from engine.models.save import save_student
from engine.models.served import ServedTeacher
from engine.models.stored_items import StoredItems, place, write
from engine.models.threads import set_threads
from engine.profile import Profile
from engine.run_writer import RunWriter, SilentWriter
from engine.runs import Run

log = logging.getLogger(__name__)


def train(run: Run) -> None:
    """Does a run's work, or this process's share of it, from its newest checkpoint where there is one.

    Raises:
        KidError: the run has failed, which its last event says, or cannot be written.
    """
    with joined() as ranks, (RunWriter if ranks.is_main else SilentWriter)(run) as writer:

        def end(error: KidError) -> None:
            log.error("%s", error)
            writer.finish("failed", error)
            os._exit(error.exit_code)  # the main thread may wait for the dead one for ever

        ranks.watch(end, str(run.path / "err.rank{}.log"))
        try:
            Job(run, writer, Control(writer), ranks).work()
        except StopRequested:
            writer.finish("stopped")
        else:
            writer.finish("done")


@dataclass(frozen=True)
class Prepared:
    """What a run works with."""

    pair: Pair
    scorer: Scorer
    trainer: Trainer


@dataclass
class Job:
    """A run's work, phase by phase. Each phase is skipped where a former generation did it."""

    directory: Run
    writer: RunWriter
    control: Control
    ranks: Ranks

    def work(self) -> None:
        profile = self.directory.profile()
        self.writer.update(state="running", phase="loading")
        self.writer.event("phase", name="loading", done=0, total=0)
        data = load_data(profile, self.directory.info().get("data_dir"))
        made = self.prepare(profile, data)
        pair, scorer, trainer = made.pair, made.scorer, made.trainer
        counts = parameter_counts(pair)
        self.writer.event(
            "run_start",
            profile=profile.name,
            method=profile.method.name,
            total_steps=trainer.total_steps,
            steps_per_epoch=trainer.plan.steps_per_epoch,
            num_examples=len(trainer.items),
            parameters=counts,
        )
        self.writer.update(total_steps=trainer.total_steps)
        self.ranks.on_main(self.control.check)
        if profile.eval.before:
            self.ranks.on_main(lambda: self._score_before(pair, scorer))
        trainer.restore()
        self._take_fastest_way(trainer, profile)
        self.writer.update(phase="training")
        trainer.train()

        def conclude() -> None:
            self._save(pair, profile, "last")
            scores = scorer.score(pair.student, "student")
            if scores.ex > trainer.progress.best_ex:
                self._save(pair, profile, "best")
            report.write(self.directory, profile, scorer, trainer.progress, counts, data)

        self.ranks.on_main(conclude)

    def prepare(self, profile: Profile, data: tuple[DataSet, DataSet]) -> Prepared:
        """Loads the models and makes all that trains and scores them.

        Args:
            data: training set and evaluation set.

        Raises:
            KidError: a model cannot be loaded, or nothing of the training set can be learnt.
        """
        set_threads(profile, self.ranks.num_here)
        torch.manual_seed(profile.train.seed)
        pair = build_pair(profile)
        if isinstance(pair.teacher, ServedTeacher):
            self._meet(pair.teacher, pair.tokenizer)
        encoder = Encoder(pair.tokenizer, profile.data)
        for one in data:
            encoder.add(one)
        scorer = Scorer(self.directory, self.writer, self.control, encoder, data[1], profile.eval,
                        profile.data.max_answer_tokens)  # fmt: skip
        items = self._items(encoder, data[0], profile)
        return Prepared(pair, scorer, self._trainer(profile, pair, encoder, items, scorer))

    def _meet(self, teacher: ServedTeacher, tokenizer: Any) -> None:
        """Asks a served teacher for the first time."""
        teacher.endpoint.warn = lambda message: self.writer.event("warning", message=message)
        if self.ranks.size == 1:  # of several processes none can stop by itself
            teacher.endpoint.check = self.control.check
        teacher.require_same_tokens(tokenizer)

    def _score_before(self, pair: Pair, scorer: Scorer) -> None:
        if pair.local_teacher is not None:
            scorer.score(pair.local_teacher, "teacher")
        elif pair.teacher is not None:
            self.writer.event("warning", message="eval.before: a served teacher is not scored")
        scorer.score(pair.student, "student_before")

    def _items(self, encoder: Encoder, data: DataSet, profile: Profile) -> StoredItems:
        """The training items; those with over-long answers are left out, which is said once."""

        def progress(done: int, total: int) -> None:
            self.writer.event("phase", name="tokenising", done=done, total=total)
            self.writer.update(phase="tokenising")
            self.control.check()

        path, longest = place(encoder, data, profile), profile.data.max_answer_tokens
        self.ranks.on_main(lambda: write(path, encoder, data, longest, progress))
        write(path, encoder, data, longest)  # where another machine has a cache of its own
        kept = StoredItems(path)
        total = len(data.examples)
        if len(kept) < total:
            self.writer.event(
                "warning",
                message=f"{total - len(kept)} of {total} training examples are left out: their answers "
                f"have more than data.max_answer_tokens = {profile.data.max_answer_tokens} tokens",
            )
        if not kept:
            raise DataError(
                f"no example of {data.name} has an answer of at most {profile.data.max_answer_tokens} tokens",
                "raise data.max_answer_tokens",
            )
        if kept.num_unwritable:
            self.writer.event(
                "warning",
                message=f"{kept.num_unwritable} of {len(kept)} training answers hold what the tokenizer "
                "cannot write (to T5's, '<' is unknown): the student cannot learn to write it either",
            )
        if kept.notes:
            first, what = next(iter(kept.notes.items()))
            self.writer.event(
                "warning",
                message=f"prompts on {len(kept.notes)} databases or contexts are cut to "
                f"data.max_prompt_tokens = {profile.data.max_prompt_tokens}; {Path(first).stem}: {what}",
            )
        for database in data.databases.values():
            encoder.prefix(database)  # what is wrong with one shows now
        return kept

    def _trainer(
        self, profile: Profile, pair: Pair, encoder: Encoder, items: StoredItems, scorer: Scorer
    ) -> Trainer:
        if profile.train.activation_checkpointing:
            pair.student.activation_checkpointing_enable({"use_reentrant": False})
            if profile.student.lora:
                pair.student.enable_input_require_grads()
        rewrites = "imperfect" in METHODS[profile.method.name].sources
        mask_id = choose_mask_token(pair.tokenizer, profile.method.mask_token) if rewrites else encoder.pad_id
        plan = make_plan(items, profile)
        objective = Objective(
            pair.student,
            pair.teacher,
            profile.method,
            mask_id=mask_id,
            banned=[mask_id, encoder.eos_id, encoder.pad_id],
            eos_id=encoder.eos_id,
            pad_id=encoder.pad_id,
            seed=profile.train.seed,
            max_new_tokens=profile.data.max_answer_tokens,
            vocabulary=common_vocabulary(pair),
            teacher_text=self.ranks.on_main(lambda: self._teacher_text(profile, pair, encoder, items, plan)),
            student_form=self._form(profile, pair.student, "student"),
            teacher_form="cached"
            if pair.local_teacher is None
            else self._form(profile, pair.local_teacher, "teacher"),
            teacher_prefix_bytes=profile.teacher.prefix_cache_mb * 2**20 if profile.teacher else 0,
            normalise=profile.train.normalise,
        )
        self._usual_way(objective, profile).take(objective)
        return Trainer(
            objective,
            items,
            plan,
            encoder,
            profile.train,
            self.writer,
            self.control,
            warmup_steps=profile.method.warmup_steps,
            eval_every=profile.eval.every,
            evaluate=lambda step: scorer.score(pair.student, "student", step).ex,
            keep_best=lambda: self._save(pair, profile, "best"),
            ranks=self.ranks,
        )

    def _teacher_text(
        self, profile: Profile, pair: Pair, encoder: Encoder, items: Sequence[Item], plan: Plan
    ) -> Answers:
        """The teacher's answers, where the method learns from them, to the examples that training reaches."""
        if "teacher" not in METHODS[profile.method.name].sources:
            return {}
        assert profile.teacher, "the profile's own checks see to it"
        name = "writing the teacher's answers"

        def progress(done: int, total: int) -> None:
            self.writer.event("phase", name=name, done=done, total=total)
            self.writer.update(phase=name)
            self.control.check()

        writing = Writing(
            pair.teacher,
            encoder,
            fingerprint(profile.teacher.model, profile.teacher.adapter) + (profile.teacher.quantize or ""),
            0.0 if profile.method.name == "seqkd" else profile.method.temperature,
            profile.train.seed,
            profile.data.max_answer_tokens,
            profile.eval.batch_size,
        )
        total = plan.total_steps(profile.train.epochs, profile.train.max_steps)
        reached = [items[index] for index in plan.reached(total)]
        started = time.monotonic()
        text = teacher_text(writing, reached, self.directory.path / "teacher_text.json", progress)
        seconds = round(time.monotonic() - started, 1)
        self.writer.event("teacher_text", num_answers=len(text), seconds=seconds)
        if unfinished := sum(answer[-1] != encoder.eos_id for answer in text.values()):
            self.writer.event(
                "warning",
                message=f"{unfinished} of {len(text)} answers of the teacher did not end within data."
                f"max_answer_tokens = {profile.data.max_answer_tokens}: they are learnt from as they are",
            )
        return text

    def _form(self, profile: Profile, model: Any, role: str) -> Form:
        if not profile.train.shared_prefix:
            return "naive"
        form, reason = choose_form(model)
        if reason:
            self.writer.event("warning", message=f"{role}: every question runs its whole prompt: {reason}")
        return form

    def _usual_way(self, objective: Objective, profile: Profile) -> Way:
        return usual_way(objective.student_form, objective.teacher_form, objective.device, profile.train)

    def _take_fastest_way(self, trainer: Trainer, profile: Profile) -> None:
        objective = trainer.objective
        usual = self._usual_way(objective, profile)
        timed = profile.train.measure and not isinstance(objective.teacher, ServedTeacher)
        others = other_ways(usual, objective.device, profile.train) if timed and self.ranks.size == 1 else []

        def choose() -> Choice:
            self.writer.update(phase="measuring")
            return trainer.choose_way(usual, others)

        choice = self.ranks.on_main(lambda: kept_choice(self.directory.path, choose))
        choice.way.take(objective)
        self.writer.event("way", **asdict(choice.way), measured=choice.measured)

    def _save(self, pair: Pair, profile: Profile, name: str) -> None:
        save_student(pair, self.directory.path / "student" / name, merged=profile.student.save_merged)


def load_data(profile: Profile, data_dir: str | None) -> tuple[DataSet, DataSet]:
    """Training set, with what the user has corrected, and evaluation set.

    Corrections are no part of data.train_limit: all of them are trained on.

    Raises:
        DataError: not found or malformed, or one of the sets is empty, or they are of two kinds.
        DatabaseError: a database is missing.
    """
    folder = Path(data_dir) if data_dir else None
    databases = Path(profile.data.databases) if profile.data.databases else None
    whole = benchmarks.load(profile.data.train, folder, databases)
    eval_set = benchmarks.load(profile.data.eval, folder, databases)
    text_task.require_one_kind(whole, eval_set, profile.data)
    train_set = benchmarks.limited(whole, profile.data.train_limit, profile.train.seed)
    added = corrections.asked_for(profile.data, folder, start=len(whole.examples))
    return corrections.extended(train_set, added), eval_set


def fitting_items(encoder: Encoder, data: DataSet, profile: Profile) -> list[Item]:
    """The examples whose answer is not too long. Cut short, they would teach to leave SQL unfinished."""
    return [item for item in encoder.items(data) if len(item.answer) <= profile.data.max_answer_tokens]


def make_plan(items: StoredItems, profile: Profile) -> Plan:
    return Plan(
        items.numbers,
        items.lengths,
        profile.train.questions_per_database,
        profile.train.databases_per_step,
        profile.train.batching,
        profile.train.seed,
    )


def choose_mask_token(tokenizer: Any, named: str | None) -> int:
    """The id that stands for a masked token: the profile's, else <s>, BOS, mask, unk or pad, not EOS.

    Raises:
        KidError: the named token is not one token of the vocabulary, or there is none to choose.
    """
    vocabulary = tokenizer.get_vocab()
    if named is not None:
        if named not in vocabulary:
            raise KidError(
                f"method.mask_token '{named}' is not in the tokenizer's vocabulary", "name another"
            )
        return vocabulary[named]
    candidates = [vocabulary.get("<s>"), tokenizer.bos_token_id, tokenizer.mask_token_id,
                  tokenizer.unk_token_id, tokenizer.pad_token_id]  # fmt: skip
    for candidate in candidates:
        if candidate is not None and candidate != tokenizer.eos_token_id:
            return candidate
    raise KidError("the tokenizer has no token to mask with", "name one: method.mask_token")


def common_vocabulary(pair: Pair) -> int:
    """Ids below this are tokens to tokenizer, student and teacher; those above are padding rows of one."""
    models = [model for model in (pair.student, pair.local_teacher) if model is not None]
    return min(len(pair.tokenizer), *(model.config.vocab_size for model in models))


def parameter_counts(pair: Pair) -> dict[str, int]:
    trained = sum(value.numel() for value in pair.student.parameters() if value.requires_grad)
    return {
        "teacher": num_parameters(pair.local_teacher) if pair.local_teacher is not None else 0,
        "student": num_parameters(pair.student),
        "trainable": trained,
    }
