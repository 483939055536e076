"""Everything a profile can say: one class per table, one field per key.

The docstring under a field is its help text: it is shown by error messages, by
`kid profiles schema` and by the form of the monitor. Optional keys also take the
word "none", which unsets what a base profile has set.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Bits = Literal["8bit", "4bit"]
MethodName = Literal[
    "sft", "seqkd", "fkd", "rkd", "f-distill", "imitkd", "gkd", "kid", "skl", "srkl", "akl", "taid"
]
DivergenceName = Literal["fkl", "rkl", "jsd", "tvd", "skl", "srkl", "akl"]
_FREE_DIVERGENCE = ("gkd", "kid", "imitkd", "f-distill")

_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"


def mistake(message: str, mend: str) -> PydanticCustomError:
    """A broken rule between keys, with what to do about it."""
    return PydanticCustomError("kid", "{message}", {"message": message, "mend": mend})


class Table(BaseModel):
    """A table of a profile: no unknown keys, no silent conversions, never changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _unset_by_none(cls, values: Any) -> Any:
        """TOML has no null: "none" is how a profile takes back an optional key it inherits."""
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {key: None if value == "none" and key in optional else value for key, value in values.items()}


class Teacher(Table):
    model: str = Field(min_length=1)
    """The model that teaches: a hub id, a directory, a .gguf file, "package:NAME/FILE" or "run:ID"; with
    teacher.url, the name that the server has for it."""
    url: str | None = Field(default=None, pattern=r"^https?://[^/@?#\s]+[^@?#\s]*$")
    """Ask a server for it, such as vLLM at "http://HOST:8000/v1"; left out: it is loaded here."""
    tokenizer: str | None = Field(default=None, min_length=1)
    """With url: a hub id or directory whose tokenizer is compared, whole, with the student's."""
    top_k: int = Field(default=20, ge=1)
    """With url: tokens that the server names at each place; vLLM allows 20, more with --max-logprobs."""
    timeout: float = Field(default=60.0, gt=0)
    """With url: seconds that a request may take before it is tried again."""
    patience: float = Field(default=600.0, ge=0)
    """With url: seconds of vain tries after which the run fails; resumed, it goes on."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """With url: the environment variable that holds the server's key; the key itself stands in no file."""
    adapter: str | None = None
    """A peft adapter on top of the model: a directory or "run:ID"."""
    dtype: Dtype = "auto"
    """Number format of the weights; auto = bfloat16 where the device has it, else float32."""
    device: str = Field(default="auto", pattern=_DEVICE)
    """Where it runs: auto, cpu, mps, cuda or cuda:N."""
    quantize: Bits | None = None
    """Keep its linear layers in 8 or 4 bits (needs the extra quant); an adapter stays beside them."""
    prefix_cache_mb: int = Field(default=1024, ge=0)
    """Memory (MiB) for schemas that it has read, kept from step to step; 0 = none."""
    trust_remote_code: bool = False
    """Run the Python code that the model brings along, which can do whatever you can; off: it is refused."""

    @model_validator(mode="after")
    def _here_or_there(self) -> Teacher:
        for key in ("adapter", "quantize"):
            if self.url and getattr(self, key):
                raise mistake(
                    f"teacher.{key} contradicts teacher.url: the server loads the model",
                    f"remove teacher.{key}, and tell the server",
                )
        return self


class Lora(Table):
    rank: int = Field(ge=1)
    """Rank of the update matrices."""
    alpha: float = Field(gt=0)
    """Scale of the update: it is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    targets: str | list[str] = "all-linear"
    """"all-linear", or the names of the modules that get an adapter."""

    @field_validator("targets")
    @classmethod
    def _known_targets(cls, targets: str | list[str]) -> str | list[str]:
        if not targets or (isinstance(targets, str) and targets != "all-linear"):
            raise mistake(
                'must be "all-linear" or a list of module names', 'for example targets = ["q_proj", "v_proj"]'
            )
        return targets


class Student(Table):
    model: str | None = None
    """The model that learns, named like teacher.model; left out: the teacher's, cut by keep_layers."""
    adapter: str | None = None
    """A peft adapter that is merged into the model first: a directory or "run:ID"."""
    keep_layers: list[int] | None = None
    """The layers that are kept, ascending from 0; the others are dropped. T5: of both stacks."""
    init: Literal["pretrained", "random"] = "pretrained"
    """pretrained = start from the model's weights; random = take its shape and tokenizer only."""
    lora: Lora | None = None
    """Train an adapter of this size; left out: train all weights."""
    dtype: Dtype = "auto"
    """Number format of the weights; auto = bfloat16 where the device has it, else float32."""
    device: str = Field(default="auto", pattern=_DEVICE)
    """Where it runs: auto, cpu, mps, cuda or cuda:N."""
    quantize: Bits | None = None
    """With lora: keep the linear layers under the adapter in 8 or 4 bits (QLoRA; needs the extra quant)."""
    share_base: bool = False
    """With lora: teacher and student are one model in memory, in the teacher's number format; teacher.adapter
    stays beside it."""
    save_merged: bool = False
    """With lora: also save the model with the adapter merged in."""
    trust_remote_code: bool = False
    """As teacher.trust_remote_code, for student.model."""

    @field_validator("keep_layers")
    @classmethod
    def _ascending(cls, layers: list[int] | None) -> list[int] | None:
        if layers is not None and (not layers or layers[0] < 0 or layers != sorted(set(layers))):
            raise mistake(
                "must be a list of layer numbers, ascending, each once", "for example keep_layers = [0, 2, 4]"
            )
        return layers

    @model_validator(mode="after")
    def _one_origin(self) -> Student:
        if self.model is None and self.keep_layers is None:
            raise mistake(
                "the student has no model",
                "set student.model, or student.keep_layers to make it from the teacher's layers",
            )
        if self.adapter is not None and (self.model is None or self.init == "random"):
            raise mistake(
                "student.adapter needs a pretrained student.model under it",
                "set student.model, or remove student.adapter",
            )
        if self.lora is not None and self.init == "random":
            raise mistake(
                "student.lora would train an adapter on random weights",
                'remove student.lora, or set student.init = "pretrained"',
            )
        return self

    @model_validator(mode="after")
    def _frozen_stays_frozen(self) -> Student:
        if self.quantize and self.lora is None:
            raise mistake(
                f'student.quantize = "{self.quantize}": quantised weights cannot be trained',
                "add student.lora, which trains an adapter on them, or remove student.quantize",
            )
        if self.quantize and self.adapter:
            raise mistake(
                "student.adapter would be merged into quantised weights",
                "name a model that it is merged into (kid export makes one), or remove student.quantize",
            )
        if self.quantize and self.save_merged:
            raise mistake(
                "student.save_merged would merge the adapter into quantised weights",
                "remove it: kid export merges the adapter into the model as it was",
            )
        if self.share_base and self.lora is None:
            raise mistake(
                "student.share_base: weights that are the teacher's too cannot be trained",
                "add student.lora, which trains an adapter on them, or remove student.share_base",
            )
        return self


class Method(Table):
    name: MethodName = "kid"
    """What is learnt from: sft = gold alone; seqkd = the teacher's answers; fkd, rkd, skl, srkl, akl, taid =
    a divergence on gold; kid = on imperfect data; imitkd, gkd, f-distill = on answers that are sampled."""
    divergence: DivergenceName | None = None
    """gkd, kid, imitkd, f-distill: another divergence than the method's own."""
    mle_weight: float = Field(default=1.0, ge=0)
    """Weight of the MLE term beside the divergence."""
    warmup_steps: int = Field(default=0, ge=0)
    """Plain SFT for so many steps first, while the student's own tokens are still noise."""
    mask_ratio: float = Field(default=0.2, ge=0, le=1)
    """kid: share of the answer's tokens that the student rewrites, 0 to 1 (0.1 to 0.3 is a plateau)."""
    mask_ratio_end: float | None = Field(default=None, ge=0, le=1)
    """kid: the share at the last step; it goes there in a straight line. Left out: it stays as it is."""
    mask_strategy: Literal["random", "uniform", "hard", "easy"] = "random"
    """kid: which tokens are masked; hard and easy go by the student's entropy."""
    rewrite: Literal["predict", "sample", "mask"] = "predict"
    """kid: predict = the student's likeliest token; sample = one drawn at method.temperature; mask = none."""
    mask_token: str | None = Field(default=None, min_length=1)
    """kid: the token used as mask; left out: <s>, BOS, mask, unk or pad, the first that is not EOS."""
    mle_context: Literal["imperfect", "gold"] = "imperfect"
    """kid: what the MLE term reads; imperfect = the rewritten answer (one pass), gold = one pass more."""
    copies: int = Field(default=1, ge=1, le=64)
    """kid: so many rewrites of one answer in a step, each with a mask of its own, behind one prompt."""
    on_policy: float = Field(default=1.0, ge=0, le=1)
    """gkd: share of the answers that the student samples (λ); the others are gold."""
    temperature: float = Field(default=1.0, gt=0)
    """gkd, imitkd, f-distill, and kid with rewrite = "sample": temperature of sampling."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """jsd: weight of the teacher in the mixture; at 0 and 1 it is fkl and rkl, on another scale."""
    skew: float = Field(default=0.1, ge=0, lt=1)
    """skl, srkl: share of the one distribution that is mixed into the other."""
    head_mass: float = Field(default=0.5, gt=0, lt=1)
    """akl: probability mass of the teacher's head, where forward and reverse KL part."""
    taid_start: float = Field(default=0.4, ge=0, le=1)
    """taid: how far from student to teacher the first target lies; it moves to 1 as training goes on."""

    @model_validator(mode="after")
    def _no_contradiction(self) -> Method:
        if self.divergence and self.name not in _FREE_DIVERGENCE:
            raise mistake(
                f'method.divergence = "{self.divergence}" contradicts method.name = "{self.name}",'
                " which names its own",
                "remove method.divergence, or choose one of " + ", ".join(_FREE_DIVERGENCE),
            )
        if self.name == "kid" and self.copies > 1 and self.mask_strategy in ("hard", "easy"):
            raise mistake(
                f'method.copies = {self.copies}: mask_strategy = "{self.mask_strategy}" would mask the same'
                " tokens in every copy",
                "set method.copies = 1, or a random or uniform strategy",
            )
        return self


class Data(Table):
    train: str = Field(default="demo/train", min_length=1)
    """Training set: a name such as spider/train, file:PATH of JSON lines, or text:PATH for another task."""
    eval: str = Field(default="demo/dev", min_length=1)
    """Evaluation set, named like data.train."""
    corrections: str | None = None
    """A file of corrections from `kid repl`: all are trained on, once an epoch, beside data.train."""
    databases: str | None = None
    """For file: sets: the folder with one SQLite database per db_id."""
    max_prompt_tokens: int = Field(default=1024, ge=32)
    """Longest prompt; schemas are cut to it, sample values first."""
    max_suffix_tokens: int = Field(default=256, ge=16)
    """The part of max_prompt_tokens kept for matched values and the question."""
    max_answer_tokens: int = Field(default=128, ge=8)
    """Longest answer; training examples with longer gold SQL are left out, and said."""
    prompt_format: Literal["plain", "chat"] = "plain"
    """plain = the CodeS text; chat = the same text inside the model's chat template."""
    evidence: bool = True
    """Put what a data set knows about a question (BIRD's evidence) before it."""
    train_limit: int = Field(default=0, ge=0)
    """Use only so many training examples, a seeded sample; 0 = all."""

    @model_validator(mode="after")
    def _room_for_schema(self) -> Data:
        if self.max_suffix_tokens >= self.max_prompt_tokens:
            raise mistake(
                f"data.max_suffix_tokens = {self.max_suffix_tokens} leaves no room for the schema"
                f" in data.max_prompt_tokens = {self.max_prompt_tokens}",
                "lower data.max_suffix_tokens, or raise data.max_prompt_tokens",
            )
        return self


class Train(Table):
    learning_rate: float = Field(default=2e-4, gt=0)
    """Peak learning rate of AdamW."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the training set; parts of a pass are allowed."""
    max_steps: int = Field(default=0, ge=0)
    """Stop after so many optimizer steps; 0 = by epochs."""
    max_seconds: float = Field(default=0.0, ge=0)
    """Stop after so many seconds of training steps (evaluations not counted); 0 = never."""
    questions_per_database: int = Field(default=8, ge=1)
    """Questions that share one prompt prefix in a step."""
    databases_per_step: int = Field(default=2, ge=1)
    """Databases in an optimizer step; times questions_per_database = the batch size."""
    batching: Literal["grouped", "mixed"] = "grouped"
    """grouped = the questions of a batch share databases; mixed = ordinary random batches."""
    shared_prefix: bool = True
    """Run a shared prompt prefix once per database instead of once per question."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on after warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    normalise: Literal["token", "sequence"] = "token"
    """token = mean over all trained tokens of a step; sequence = mean per answer first."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between checkpoints."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the newest checkpoints are kept."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of data order, masks and random weights."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 = from the cores of this machine."""
    precision: Literal["auto", "float32", "bfloat16", "fastest"] = "auto"
    """Passes compute in it; auto = bfloat16 on a GPU, else float32; fastest = also time bfloat16 on a CPU."""
    measure: bool = True
    """Begin a long run by timing the ways to compute that this machine has; false = take the usual one."""
    rewrite_every: int = Field(default=50, ge=1)
    """Steps between samples of gold, masked and rewritten tokens in the events."""
    reference_every: int = Field(default=0, ge=0)
    """Steps between timings of plain and of shared SFT on the step's own batch, to compare with; 0 = none."""


class Eval(Table):
    every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0 = only at the end."""
    limit: int = Field(default=200, ge=0)
    """Questions that are scored, a seeded sample over the difficulties; 0 = all."""
    batch_size: int = Field(default=32, ge=1)
    """Questions answered at a time."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds a query may run."""
    before: bool = True
    """Score teacher and student before training too."""
    probes: int = Field(default=6, ge=0)
    """Questions whose SQL is kept at every evaluation."""


class Launch(Table):
    processes: int | None = Field(default=None, ge=1)
    """Processes that share a step's questions, one a GPU; left out: as launch.config says, else 1."""
    config: str | None = Field(default=None, min_length=1)
    """A configuration file of accelerate, for several machines (`accelerate config` writes one)."""


class Recorded(Table):
    label: str
    """What was run, for example "plain SFT, same steps"."""
    ex: float = Field(ge=0, le=1)
    """The execution accuracy that it reached."""
    steps: int = Field(ge=1)
    """Its number of steps: the figure is shown only beside runs of the same length."""
    command: str
    """The command that gave it."""
