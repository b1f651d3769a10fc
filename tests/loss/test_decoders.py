"""Left-padded and flattened inputs, as decoders have them, are packed like others: same loss, gradient and memory."""

import pytest
import torch
from loss_batches import make_texts
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny import make_encoder
from transformers import DataCollatorWithFlattening, Qwen3Config, Qwen3Model

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss.packing import pack_columns, text_keys

BUDGET = 48


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A Qwen3 with two layers in float64, which pads on the left and pools the last token."""
    tokenizer = make_encoder().tokenizer
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, intermediate_size=64, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    folder = str(tmp_path_factory.mktemp("qwen3"))
    Qwen3Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    modules = [Transformer(folder, max_seq_length=32), Pooling(32, pooling_mode="lasttoken")]
    decoder = SentenceTransformer(modules=modules, device="cpu").double()
    decoder.tokenizer.padding_side = "left"
    return decoder


def left_padded(decoder, texts):
    features = decoder.preprocess(texts)
    assert features["attention_mask"][:, -1].all()
    return features


def flattened(decoder, texts):
    collator = DataCollatorWithFlattening(return_seq_idx=True, return_flash_attn_kwargs=True)
    features = collator([{"input_ids": decoder.tokenizer(text)["input_ids"]} for text in texts])
    del features["labels"]
    return dict(features)


class Embedded(torch.nn.Module):
    """The decoder; notes the tokens of each call, padding included."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder, self.tokens = decoder, []

    def forward(self, features):
        self.tokens.append(features["input_ids"].numel())
        return self.decoder(features)

    def __getattr__(self, name):
        return super().__getattr__(name) if name in ("decoder", "_modules") else getattr(self.decoder, name)

    def __getitem__(self, index):
        return self.decoder[index]


def column_by_column(decoder, columns):
    """The loss without any packing: each column is a group by itself."""
    loss = CLEARLoss(decoder)
    loss._pack_columns = lambda used, keys: pack_columns(used, dict.fromkeys(keys))
    return value_and_gradient(loss, decoder, columns)


def value_and_gradient(loss, decoder, columns):
    decoder.zero_grad()
    value = loss([dict(column) for column in columns])
    value.backward()
    return value.item(), torch.cat([p.grad.flatten() for p in decoder.parameters()])


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
@pytest.mark.parametrize("features_of", [left_padded, flattened])
def test_they_equal_column_by_column_within_the_budget(decoder, features_of, cls):
    texts = make_texts(2)
    texts[2][1] = texts[3][4] = texts[1][0]  # copies, to be embedded once
    value, gradient = column_by_column(decoder, [left_padded(decoder, column) for column in texts])
    assert gradient.norm() > 1e-3
    columns = [features_of(decoder, column) for column in texts]
    loss = cls(decoder, **({"mini_batch_num_tokens": BUDGET} if cls is CachedCLEARLoss else {}))
    [group] = loss._pack(columns).packed.groups
    assert len(group) == len({text for column in texts for text in column}) < 7 * 7
    loss.model = embedded = Embedded(decoder)
    found, found_gradient = value_and_gradient(loss, decoder, columns)
    # Less padding means other positions; the decoder turns vectors by them in float32, whatever its own precision.
    assert found == pytest.approx(value, rel=1e-7)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-5, atol=3e-7)
    if cls is CachedCLEARLoss:
        assert len(embedded.tokens) > 4
        assert max(embedded.tokens) <= BUDGET
    assert sum(embedded.tokens) < (2 if cls is CachedCLEARLoss else 1) * sum(c["input_ids"].numel() for c in columns)


def test_a_column_without_padding_joins_those_with_it(decoder):
    columns = {0: left_padded(decoder, ["river moon", "moon"]), 1: left_padded(decoder, ["river", "moon"])}
    assert columns[1]["attention_mask"].all()
    keys = {number: text_keys(column) for number, column in columns.items()}
    [group] = pack_columns(columns, keys, padding_side="left").groups
    assert group.padding == "left"
    assert len(group) == 3


def test_auto_measures_flattened_inputs(decoder, monkeypatch):
    monkeypatch.setattr("clear_ir.loss.token_budget.BUDGETS", {"cpu": (16, 32)})
    loss = CachedCLEARLoss(decoder, mini_batch_num_tokens="auto")
    loss([flattened(decoder, column) for column in make_texts(1)]).backward()
    assert loss.mini_batch_num_tokens in (16, 32)
