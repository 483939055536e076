"""The shipped teacher reaches what its file claims, on the questions it claims it for."""

from __future__ import annotations

import pytest
from safetensors import safe_open

from engine import paths, profile
from engine.data import benchmarks
from engine.evaluation.predict import predict
from engine.evaluation.score import score
from engine.models.encode import Encoder
from engine.models.load import load_model, load_tokenizer

DEMO = "package:engine/data/demo/teacher"


@pytest.mark.slow
def test_scores_what_its_metadata_says():
    with safe_open(paths.demo_source() / "teacher" / "model.safetensors", "pt") as opened:
        claimed = opened.metadata()
    train, dev = benchmarks.load("demo/train"), benchmarks.load("demo/dev")
    assert claimed["data"] == train.fingerprint  # trained on the questions that ship
    assert claimed["num_questions"] == str(len(dev.examples))
    settings = profile.load("demo-teacher")
    encoder = Encoder(load_tokenizer(DEMO), settings.data)
    encoder.add(dev)
    answers = predict(load_model(DEMO), encoder, dev.examples, batch_size=64, max_new_tokens=64)
    verdicts = score(dev.examples, [answer.sql for answer in answers])
    ex = sum(verdict.correct for verdict in verdicts) / len(verdicts)
    # Kernels of other processors round otherwise: an answer or two may change.
    assert ex == pytest.approx(float(claimed["ex"]), abs=0.01)


def test_prefixes_are_short():
    encoder = Encoder(load_tokenizer(DEMO), profile.load("demo").data)
    dev = benchmarks.load("demo/dev")
    encoder.add(dev)
    assert max(len(encoder.prefix(example.database)) for example in dev.examples) <= 300
