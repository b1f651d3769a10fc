"""Training the rows of the embedding table that the texts use is training all of it."""

import copy

import pytest
import torch
from datasets import Dataset
from loss_batches import features_of, make_texts, value_and_gradient
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from tiny import make_encoder
from torch import nn

from clear_ir import CachedCLEARLoss, CLEARLoss, used_vocabulary
from clear_ir.loss.vocabulary import UsedRows, used_rows_of

TEXTS = make_texts(2)
#: Few words, so that most rows of the table are not used.
FEW = [[" ".join(text.split()[:2]) for text in column] for column in make_texts(2, rows=5)]
DATASET = Dataset.from_dict({str(number): texts for number, texts in enumerate(FEW)})
CACHED = {"mini_batch_num_tokens": 24}


def table_of(encoder):
    return encoder[0].auto_model.get_input_embeddings()


def whole_gradient(table):
    gradient = torch.zeros_like(table.whole)
    gradient[table.used] = table.weight.grad
    return gradient


@pytest.mark.parametrize("kind", ["plain", "cached", "cached in one pass", "matryoshka"])
def test_loss_and_gradient_are_those_of_the_whole_table(kind):
    def make(encoder):
        if kind == "plain":
            return CLEARLoss(encoder)
        if kind == "matryoshka":
            return MatryoshkaLoss(encoder, CachedCLEARLoss(encoder, **CACHED), [32, 8])
        return CachedCLEARLoss(encoder, **(CACHED if kind == "cached" else {}))

    encoder = make_encoder()
    value, gradient = value_and_gradient(make(encoder), encoder, FEW)
    expected = table_of(encoder).weight.grad.clone()
    others = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    assert (expected.norm(dim=1) == 0).sum() > 20, "all rows are used, so the test shows nothing"
    with used_vocabulary(encoder, DATASET) as said:
        [table] = used_rows_of(encoder)
        assert said.startswith(f"{len(table.used)} of {len(expected)} rows of the embedding table are trained")
        found, found_gradient = value_and_gradient(make(encoder), encoder, FEW)
        assert found == pytest.approx(value, rel=1e-12)
        assert found_gradient.norm() == pytest.approx(float(gradient.norm()), rel=1e-12), "as clipping sees it"
        assert not table.weight.grad.is_sparse
        torch.testing.assert_close(whole_gradient(table), expected, rtol=1e-9, atol=1e-12)
        for name, parameter in encoder.named_parameters():
            if parameter.grad is not None and parameter is not table.weight:
                torch.testing.assert_close(parameter.grad, others[name], rtol=1e-9, atol=1e-12)


def train(encoder, steps=20):
    loss = CachedCLEARLoss(encoder, **CACHED)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(features_of(encoder, FEW)).backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()


def test_twenty_steps_of_adamw_come_to_the_same_encoder(tmp_path):
    whole, compact = make_encoder(), make_encoder()
    before = table_of(whole).weight.detach().clone()
    train(whole)
    with used_vocabulary(compact, DATASET):
        train(compact)
        used = used_rows_of(compact)[0].used
        compact.save_pretrained(str(tmp_path / "within"))
    assert isinstance(table_of(compact), nn.Embedding)
    assert list(whole.state_dict()) == list(compact.state_dict())
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(compact.state_dict()[name], tensor, rtol=0, atol=1e-9, msg=name)
    after = table_of(compact).weight.detach()
    unused = torch.ones(len(after), dtype=torch.bool)
    unused[used] = False
    assert torch.equal(after[unused], before[unused])
    assert (after[used] - before[used]).norm() > 0.1
    # What was saved within the block is an ordinary encoder.
    from clear_ir.encode.model_loading import load_encoder

    saved = load_encoder(str(tmp_path / "within"))
    sentences = [*FEW[0], *TEXTS[1]]
    expected = compact.encode(sentences)
    torch.testing.assert_close(torch.tensor(saved.double().encode(sentences)), torch.tensor(expected))


def test_other_pieces_are_looked_up_but_not_trained(encoder):
    expected = encoder.encode(TEXTS[1])
    with used_vocabulary(encoder, {"anchor": ["river desert"]}):
        torch.testing.assert_close(torch.tensor(encoder.encode(TEXTS[1])), torch.tensor(expected), rtol=0, atol=0)
        with pytest.raises(RuntimeError, match="Give it all texts to train on"):
            CLEARLoss(encoder)(features_of(encoder, TEXTS))


def test_the_prompt_belongs_to_the_text(encoder):
    with used_vocabulary(encoder, {"anchor": ["river"], "positive": ["moon"]}, {"anchor": "query: "}):
        pieces = {encoder.tokenizer.convert_ids_to_tokens(i) for i in used_rows_of(encoder)[0].used.tolist()}
    assert pieces == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", ":", "river", "moon"}


def test_a_checkpoint_goes_into_the_rows(encoder):
    other = make_encoder(seed=1)
    with used_vocabulary(encoder, DATASET):
        encoder.load_state_dict(other.state_dict())
        torch.testing.assert_close(torch.tensor(encoder.encode(TEXTS[1])), torch.tensor(other.encode(TEXTS[1])))
        with pytest.raises(RuntimeError, match="Missing key"):
            encoder.load_state_dict({n: t for n, t in other.state_dict().items() if "word_embeddings" not in n})
        copied = copy.deepcopy(encoder)
        nn.init.zeros_(encoder.get_parameter("0.model.embeddings.word_embeddings.weight"))
        torch.testing.assert_close(torch.tensor(copied.encode(FEW[0])), torch.tensor(other.encode(FEW[0])))


def test_it_leaves_alone_what_would_not_be_exact(encoder):
    with used_vocabulary(encoder, DATASET, weight_decay=0.1) as said:
        assert said.endswith("weight decay moves the rows that no text uses, too.")
        assert not used_rows_of(encoder)
    encoder[0].auto_model.head = nn.Linear(32, table_of(encoder).num_embeddings, bias=False)
    encoder[0].auto_model.head.weight = table_of(encoder).weight
    with used_vocabulary(encoder, DATASET) as said:
        assert said.endswith("another part of the encoder shares it.")
        assert not used_rows_of(encoder)
    del encoder[0].auto_model.head
    table_of(encoder).weight.requires_grad_(False)  # as an adapter does it
    with used_vocabulary(encoder, DATASET) as said:
        assert said == ""
        assert not used_rows_of(encoder)


class Scaled(nn.Embedding):
    """As Gemma's table."""

    def forward(self, input_ids):
        return super().forward(input_ids) * 3


def test_a_table_with_a_forward_of_its_own():
    table = Scaled(10, 4, padding_idx=0)
    rows = UsedRows(table, torch.tensor([0, 2, 5]))
    ids = torch.tensor([[2, 5, 0]])
    torch.testing.assert_close(rows(ids), table(ids))
    rows(ids).sum().backward()
    torch.testing.assert_close(rows.weight.grad, torch.tensor([[0.0] * 4, [3.0] * 4, [3.0] * 4]))
    with torch.no_grad():
        every = torch.arange(10)
        torch.testing.assert_close(rows(every), table(every))


def test_a_sparse_gradient_stays_small():
    rows = UsedRows(nn.Embedding(50, 4), torch.arange(5))
    with rows.sparse_gradients():
        for _ in range(4):
            rows(torch.tensor([0, 1, 2])).sum().backward()
            rows.shorten_gradient()
            assert rows.weight.grad.is_sparse
            assert rows.weight.grad._nnz() <= 6
    torch.testing.assert_close(rows.weight.grad, torch.tensor([[4.0] * 4] * 3 + [[0.0] * 4] * 2))
