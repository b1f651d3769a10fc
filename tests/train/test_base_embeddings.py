"""The guard's English embeddings: of the texts as training tokenizes them, computed once, kept with the run."""

import torch
from loss_batches import features_of, make_texts
from tiny import make_encoder, make_training_rows, settings

from clear_ir import CLEARLoss
from clear_ir.encode.model_loading import load_encoder
from clear_ir.train.base_embeddings import embed_by_base
from clear_ir.train.run import train_model
from clear_ir.train.trainer import split_rows

PROMPTS = {"query": "query: ", "document": "river : "}


def with_prompts(tmp_path):
    encoder = make_encoder(double=False)
    encoder.prompts = dict(PROMPTS)
    encoder.save_pretrained(str(tmp_path / "prompted"))
    return load_encoder(str(tmp_path / "prompted"))


def test_they_are_those_of_the_base_with_its_prompts(tmp_path):
    encoder = with_prompts(tmp_path)
    data = split_rows(make_training_rows(), settings(dev_share=0))
    keys, vectors = embed_by_base(encoder, data, tmp_path / "base.safetensors")
    assert len(keys) == len(set(data.dataset["anchor"])) + len(set(data.dataset["positive"]))
    known = CLEARLoss(encoder, guard=1.0, num_negatives=1, base_embeddings=(keys, vectors))
    copied = CLEARLoss(encoder, guard=1.0, num_negatives=1)
    columns = ["anchor", "positive", "negative_1", "cross_anchor", "neg_query_1"]
    prompt_of = {column: PROMPTS["document" if column in columns[1:3] else "query"] for column in columns}
    features = [encoder.preprocess(data.dataset[column][:6], prompt=prompt_of[column]) for column in columns]
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05)
    for loss in (known, copied):
        loss([dict(column) for column in features])
    expected = copied.pop_terms()["clear/guard"]
    assert expected > 1e-4
    torch.testing.assert_close(known.pop_terms()["clear/guard"], expected, rtol=1e-4, atol=0)


def test_a_run_with_prompts_finds_every_text(tmp_path):
    with_prompts(tmp_path)
    log = train_model(str(tmp_path / "prompted"), make_training_rows(), settings(guard=1.0), tmp_path / "m")
    assert any(entry.get("clear/guard", 0) > 0 for entry in log)
    assert not list(tmp_path.glob("**/base.safetensors")), "it goes with the run"


def test_they_are_computed_once(tmp_path):
    encoder = make_encoder(double=False)
    data = split_rows(make_training_rows(), settings(dev_share=0))
    first = embed_by_base(encoder, data, tmp_path / "base.safetensors")
    for parameter in encoder.parameters():
        parameter.data.zero_()
    again = embed_by_base(encoder, data, tmp_path / "base.safetensors")
    assert torch.equal(first[1], again[1])
    assert first[1].norm() > 0


def test_an_encoder_that_cuts_its_vectors_keeps_a_copy_instead(tmp_path):
    encoder = make_encoder(double=False)
    encoder.truncate_dim = 8
    data = split_rows(make_training_rows(), settings())
    assert embed_by_base(encoder, data, tmp_path / "base.safetensors") is None
    loss = CLEARLoss(encoder, guard=1.0)
    loss(features_of(encoder, make_texts(1)))
    assert loss.pop_terms()["clear/guard"] < 1e-6
