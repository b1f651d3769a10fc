import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from loss_batches import ROWS, features_of, make_texts, value_and_gradient
from reference_loss import clear_loss
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import dot_score
from tiny import make_encoder

from clear_ir import CachedCLEARLoss, CLEARLoss, fast_dropout
from clear_ir.loss.packing import text_keys


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize(("beta", "gamma"), [(0.2, 0.0), (0.0, 0.0), (0.1, 0.3)])
def test_plain_loss_equals_the_formula_on_its_embeddings(encoder, n, beta, gamma):
    texts = make_texts(n)
    columns = [encoder.encode(column, convert_to_numpy=True).astype(np.float64) for column in texts]
    loss = CLEARLoss(encoder, beta=beta, gamma=gamma)(features_of(encoder, texts))
    assert loss.item() == pytest.approx(clear_loss(columns, n, beta=beta, gamma=gamma), rel=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize(
    "mini_batch", [{"mini_batch_size": s} for s in (1, 3, 4, 5, 100)] + [{"mini_batch_num_tokens": 17}]
)
@pytest.mark.parametrize("margin", [None, 0.02])
def test_cached_equals_plain_in_loss_and_gradients(encoder, n, mini_batch, margin):
    texts = make_texts(n)
    options = {"gamma": 0.1, "false_negative_margin": margin}
    value, gradient = value_and_gradient(CLEARLoss(encoder, **options), encoder, texts)
    cached, cached_gradient = value_and_gradient(CachedCLEARLoss(encoder, **options, **mini_batch), encoder, texts)
    assert cached == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(cached_gradient, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [{"guard": 0.5}, {"guard": 0.5, "divergence": "js"}, {"divergence": "kl-detached"}])
@pytest.mark.parametrize("mini_batch", [{"mini_batch_size": 3}, {"mini_batch_num_tokens": 17}, {}])
def test_guard_and_divergence_cached_and_plain_equal_the_formula(encoder, options, mini_batch):
    texts = make_texts(2)
    plain, cached = CLEARLoss(encoder, **options), CachedCLEARLoss(encoder, **options, **mini_batch)
    before = [encoder.encode(column, convert_to_numpy=True).astype(np.float64) for column in texts[:2]]
    kept = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.manual_seed(1))
    value, gradient = value_and_gradient(plain, encoder, texts)
    columns = [encoder.encode(column, convert_to_numpy=True).astype(np.float64) for column in texts]
    reference = clear_loss(columns, 2, base=before, kind=options.get("divergence", "kl"), guard=options.get("guard", 0))
    assert value == pytest.approx(reference, rel=1e-9)
    if "guard" in options:
        assert plain.pop_terms()["clear/guard"] > 1e-3, "the base moved along"
    cached_value, cached_gradient = value_and_gradient(cached, encoder, texts)
    assert cached_value == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(cached_gradient, gradient, rtol=1e-9, atol=1e-11)
    encoder.load_state_dict(kept)


def test_the_frozen_base_is_neither_trained_nor_saved(encoder):
    loss = CLEARLoss(encoder, guard=1.0)
    own = {id(parameter) for parameter in encoder.parameters()}
    assert {id(parameter) for parameter in loss.parameters()} == own
    assert not any("_base" in name for name in loss.state_dict())


@pytest.mark.parametrize(("size", "block"), [(2, nullcontext), (3, nullcontext), (5, nullcontext), (3, fast_dropout)])
def test_cached_equals_plain_with_dropout(size, block):
    with block():
        check_cached_equals_plain_with_dropout(size)


class PlainInMiniBatches(CLEARLoss):
    """The same mini-batches draw the same masks; other mini-batches draw others in any loss."""

    def __init__(self, model, size):
        super().__init__(model)
        self.size = size

    def _mini_batch_limits(self, group):
        return self.size, None


def check_cached_equals_plain_with_dropout(size):
    encoder = make_encoder(dropout=0.3).train()
    texts = make_texts(2)
    plain = PlainInMiniBatches(encoder, size)
    value, gradient = value_and_gradient(plain, encoder, texts)
    cached, cached_gradient = value_and_gradient(CachedCLEARLoss(encoder, mini_batch_size=size), encoder, texts)
    assert cached == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(cached_gradient, gradient, rtol=1e-9, atol=1e-11)
    other, _ = value_and_gradient(plain, encoder, texts, seed=4)
    assert other != pytest.approx(value, rel=1e-6), "dropout did nothing, so the comparison shows nothing"


def test_the_gradient_does_not_grow_with_the_number_of_chunks(encoder):
    # The authors' cached loss back-propagates each chunk's mean whole: its gradient is that many times too large.
    texts = make_texts(1, rows=8)
    norms = [
        value_and_gradient(CachedCLEARLoss(encoder, mini_batch_size=size), encoder, texts)[1].norm().item()
        for size in (8, 4, 3)
    ]
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-10)


def test_score_blocks_never_hold_all_rows():
    encoder = make_encoder()
    seen = []

    def similarity(a, b):
        seen.append(tuple(a.shape[:1] + b.shape[:1]))
        return dot_score(a, b)

    loss = CachedCLEARLoss(encoder, mini_batch_size=3, similarity_fct=similarity, scale=1.0)
    loss(features_of(encoder, make_texts(1))).backward()
    assert max(rows for rows, _ in seen) == 3
    assert len(seen) == 2 * 3


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_infonce_weights_are_multiple_negatives_ranking(encoder, cls):
    texts = make_texts(2, m=0)
    ours, gradient = value_and_gradient(cls(encoder, alpha=0, beta=0, gamma=1, num_negatives=2), encoder, texts)
    theirs, expected = value_and_gradient(MultipleNegativesRankingLoss(encoder), encoder, [texts[4], *texts[1:4]])
    assert ours == pytest.approx(theirs, rel=1e-9)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_exact_duplicates_are_masked(encoder, cls):
    texts = make_texts(1)
    texts[2][3] = texts[1][0]  # a negative of row 3 is row 0's passage
    texts[4][5] = texts[3][1]  # a negative query of row 5 is row 1's cross_anchor
    columns = [encoder.encode(column).astype(np.float64) for column in texts]
    expected = clear_loss(columns, 1, left_out_forward={0: {ROWS + 3}}, left_out_reverse={1: {ROWS + 5}})
    assert cls(encoder)(features_of(encoder, texts)).item() == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(clear_loss(columns, 1), rel=1e-4)


def test_deduplication_changes_nothing_without_dropout(encoder):
    texts = make_texts(2)
    texts[2] = texts[3] = [texts[1][(i + 1) % ROWS] for i in range(ROWS)]
    once = value_and_gradient(CLEARLoss(encoder), encoder, texts)
    each = value_and_gradient(CLEARLoss(encoder, deduplicate=False), encoder, texts)
    assert once[0] == pytest.approx(each[0], rel=1e-12)
    torch.testing.assert_close(once[1], each[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_within_matryoshka(encoder, cls):
    texts = make_texts(1)
    options = {} if cls is CLEARLoss else {"mini_batch_size": 3}
    value, gradient = value_and_gradient(MatryoshkaLoss(encoder, cls(encoder, **options), [32, 8]), encoder, texts)

    def shrunk(dim):
        columns = [encoder.encode(column).astype(np.float64)[:, :dim] for column in texts]
        return clear_loss(columns, 1)

    assert value == pytest.approx(shrunk(32) + shrunk(8), rel=1e-9)
    one_pass, expected = value_and_gradient(MatryoshkaLoss(encoder, CLEARLoss(encoder), [32, 8]), encoder, texts)
    assert one_pass == pytest.approx(value, rel=1e-9)
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-10)


def test_cached_within_matryoshka_when_all_fits_one_mini_batch(encoder):
    texts = make_texts(1)
    whole = MatryoshkaLoss(encoder, CachedCLEARLoss(encoder, mini_batch_size=1000), [32, 8])
    plain = MatryoshkaLoss(encoder, CLEARLoss(encoder), [32, 8])
    value, gradient = value_and_gradient(whole, encoder, texts)
    expected, expected_gradient = value_and_gradient(plain, encoder, texts)
    assert value == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-10)


def test_without_gradients_cached_equals_plain(encoder):
    texts = make_texts(1)
    with torch.no_grad():
        plain = CLEARLoss(encoder)(features_of(encoder, texts))
        cached = CachedCLEARLoss(encoder, mini_batch_size=2)(features_of(encoder, texts))
    assert cached.item() == pytest.approx(plain.item(), rel=1e-12)
    assert not cached.requires_grad


def test_with_lora_only_the_adapter_learns():
    peft = pytest.importorskip("peft")
    encoder = make_encoder(double=False)
    encoder.add_adapter(peft.LoraConfig(r=4, target_modules=["query", "value"], lora_alpha=8))
    texts = make_texts(1)
    loss = CachedCLEARLoss(encoder, mini_batch_size=4)
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.5)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    first = loss(features_of(encoder, texts))
    first.backward()
    optimizer.step()
    changed = {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all("lora" in name for name in changed)
    assert loss(features_of(encoder, texts)).item() < first.item()


def test_a_few_steps_learn():
    encoder = make_encoder(double=False)
    texts = make_texts(1)
    loss = CachedCLEARLoss(encoder, mini_batch_size=3)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=2e-3)
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        value = loss(features_of(encoder, texts))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_columns_that_do_not_fit(encoder, cls):
    texts = make_texts(2)
    with pytest.raises(ValueError, match="at least 3; it was given 2"):
        cls(encoder)(features_of(encoder, texts[:2]))
    with pytest.raises(ValueError, match=r"odd number.*\(lang, id, passage_id\) must be removed"):
        cls(encoder)(features_of(encoder, texts[:6]))
    with pytest.raises(ValueError, match="2 negative passages and 1 negative queries"):
        cls(encoder, num_negatives=2)(features_of(encoder, texts[:6]))
    with pytest.raises(ValueError, match="divergence is 'hellinger'; give one of kl, "):
        cls(encoder, divergence="hellinger")
    with pytest.raises(ValueError, match="num_negatives=9 needs at least 12 columns"):
        cls(encoder, num_negatives=9)(features_of(encoder, texts))
    value = cls(encoder, beta=0, num_negatives=2)(features_of(encoder, texts[:6]))
    assert math.isfinite(value.item())


def test_arguments_out_of_range(encoder):
    with pytest.raises(ValueError, match="sum to at most 1"):
        CLEARLoss(encoder, alpha=0.9)
    with pytest.raises(ValueError, match="beta"):
        CachedCLEARLoss(encoder, beta=-0.1)
    with pytest.raises(ValueError, match="mini_batch_size is 0"):
        CachedCLEARLoss(encoder, mini_batch_size=0)
    with pytest.raises(ValueError, match="num_negatives is -1"):
        CLEARLoss(encoder, num_negatives=-1)


def test_static_embedding_trains_plain_and_is_refused_cached(encoder):
    static = SentenceTransformer(modules=[StaticEmbedding(encoder.tokenizer, embedding_dim=16)], device="cpu")
    texts = make_texts(1)
    value = CLEARLoss(static)(features_of(static, texts))
    value.backward()
    assert next(static.parameters()).grad.abs().sum() > 0
    with pytest.raises(ValueError, match="StaticEmbedding"):
        CachedCLEARLoss(static)


def test_the_loss_stage_is_never_half_precision():
    encoder = make_encoder(double=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = CLEARLoss(encoder)(features_of(encoder, make_texts(1)))
    assert value.dtype == torch.float32


@pytest.mark.parametrize("bf16", [True, False])
def test_the_second_pass_is_in_the_precision_of_the_first(bf16):
    encoder = make_encoder(dropout=0.1, double=False)
    features = features_of(encoder, make_texts(1))
    seen = []
    encoder[0].register_forward_hook(lambda _, __, output: seen.append(output["token_embeddings"]))
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        value = CachedCLEARLoss(encoder, mini_batch_size=4)(features)
    count = len(seen)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not bf16):
        value.backward()
    assert len(seen) == 2 * count > 2
    for first, second in zip(seen[:count], seen[count:], strict=True):
        assert torch.equal(first, second)


def test_prompts_per_column_keep_kinds_apart(encoder):
    texts = make_texts(1)
    prompted = [
        encoder.preprocess(column, prompt="query: " if i in (0, 3, 4) else None) for i, column in enumerate(texts)
    ]
    written = [[f"query: {text}" for text in column] if i in (0, 3, 4) else column for i, column in enumerate(texts)]
    loss = CLEARLoss(encoder)
    assert loss(prompted).item() == pytest.approx(loss(features_of(encoder, written)).item(), rel=1e-9)


def test_config_and_citation_are_complete(encoder):
    config = CachedCLEARLoss(encoder, gamma=0.1, mini_batch_num_tokens=99).get_config_dict()
    assert config == {
        "alpha": 0.4,
        "beta": 0.2,
        "gamma": 0.1,
        "distil": 0.0,
        "cross_guard": 0.0,
        "scale": 20.0,
        "similarity_fct": "cos_sim",
        "num_negatives": None,
        "gather_across_devices": False,
        "false_negative_margin": None,
        "deduplicate": True,
        "guard": 0.0,
        "divergence": "kl",
        "mini_batch_size": None,
        "mini_batch_num_tokens": 99,
    }
    assert "2604.05821" in CLEARLoss(encoder).citation


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_terms_add_up_to_the_loss(encoder, cls):
    options = {} if cls is CLEARLoss else {"mini_batch_size": 3}
    loss = cls(encoder, gamma=0.1, **options)
    value = loss(features_of(encoder, make_texts(1)))
    terms = loss.pop_terms()
    assert sum(v for name, v in terms.items() if name.endswith("_weighted")) == pytest.approx(value.item(), rel=1e-9)
    assert {name.split("/")[1] for name in terms if "weighted" not in name} == {"forward", "reverse", "kl", "cross"}
    assert loss.pop_terms() == {}


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_columns_that_cannot_be_packed_give_the_same_loss_and_one_line(encoder, cls, caplog):
    texts = make_texts(1)
    value, gradient = value_and_gradient(cls(encoder), encoder, texts)
    loss = cls(encoder)
    padded = features_of(encoder, texts)
    tokens = padded[1]["attention_mask"].sum(dim=1)
    width = padded[1]["input_ids"].shape[1]
    assert (tokens < width - 1).any(), "too little padding, so the column would be packed"
    # Padding on both sides: position ids count from there, so they are given.
    for row, count in enumerate(tokens.tolist()):
        for name in ("input_ids", "attention_mask"):
            padded[1][name][row] = padded[1][name][row].roll((width - count) // 2)
    padded[1]["position_ids"] = (padded[1]["attention_mask"].cumsum(dim=1) - 1).clamp_min(0)
    encoder.zero_grad()
    with caplog.at_level("WARNING", "clear_ir"):
        alone = loss(padded)
        alone.backward()
        loss([dict(column) for column in padded])
    assert [record.getMessage()[:35] for record in caplog.records] == ["1 of 5 columns cannot be packed, so"]
    assert alone.item() == pytest.approx(value, rel=1e-9)
    found = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-9)


def test_an_english_side_without_any_gradient(encoder):
    # English is the target of the KL alone, and there is no forward term.
    texts = make_texts(1)
    options = {"alpha": 0.5, "beta": 0.5, "divergence": "kl-detached"}
    value, gradient = value_and_gradient(CLEARLoss(encoder, **options), encoder, texts)
    cached, cached_gradient = value_and_gradient(CachedCLEARLoss(encoder, **options, mini_batch_size=3), encoder, texts)
    assert cached == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(cached_gradient, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cls", [CLEARLoss, CachedCLEARLoss])
def test_every_copy_of_a_known_positive_is_masked(encoder, cls):
    texts = make_texts(1)
    texts[0][4] = texts[0][0]  # rows 0 and 4 ask the same, so row 4's passage is right for row 0
    texts[2][2] = texts[1][4]  # and row 2 has a copy of it among its negatives
    texts[1][5] = texts[1][1]  # rows 1 and 5 have one passage, so row 5's query is right for row 1
    texts[4][3] = texts[3][5]  # and row 3 has a copy of it among its negative queries
    columns = [encoder.encode(column).astype(np.float64) for column in texts]
    forward = {0: {4, ROWS + 2}, 4: {0}, 1: {5}, 5: {1}}
    forward[4] |= {ROWS + 2}  # its own passage again
    reverse = {1: {5, ROWS + 3}, 5: {1, ROWS + 3}}
    expected = clear_loss(columns, 1, left_out_forward=forward, left_out_reverse=reverse)
    assert cls(encoder)(features_of(encoder, texts)).item() == pytest.approx(expected, rel=1e-9)


def test_the_frozen_base_runs_in_the_encoders_precision():
    encoder = make_encoder(double=False)
    loss = CLEARLoss(encoder, guard=1.0)
    in_full = encoder.forward

    def in_half(*inputs, **more):  # as a trainer wraps it
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return in_full(*inputs, **more)

    encoder.forward = in_half
    loss(features_of(encoder, make_texts(1)))
    assert loss.pop_terms()["clear/guard"] == pytest.approx(0, abs=1e-7), "nothing moved, so nothing is apart"


def count_texts(encoder):
    """Count the texts that copies of the encoder embed from now on."""
    counted = []
    encoder[0].register_forward_pre_hook(lambda module, given: counted.append(len(given[0]["input_ids"])))
    return counted


@pytest.mark.parametrize("deduplicate", [True, False])
def test_the_frozen_base_embeds_each_text_once(encoder, deduplicate):
    texts = make_texts(1)
    texts[0][1] = texts[0][0]
    counted = count_texts(encoder)
    loss = CLEARLoss(encoder, guard=1.0, deduplicate=deduplicate)
    counted.clear()
    first = loss(features_of(encoder, texts)).item()
    by_both = sum(counted)
    counted.clear()
    assert loss(features_of(encoder, texts)).item() == pytest.approx(first, rel=1e-12)
    by_encoder = sum(counted)
    english = {*texts[0], *texts[1]}
    assert by_both - by_encoder == (len(english) if deduplicate else 2 * ROWS)
    counted.clear()
    more = make_texts(1, seed=4)
    more[0][2] = texts[0][3]
    found = loss(features_of(encoder, more)).item()
    assert found == pytest.approx(CLEARLoss(encoder, guard=1.0)(features_of(encoder, more)).item(), rel=1e-9)


def test_embeddings_of_the_base_can_be_given(encoder):
    texts = make_texts(1)
    features = features_of(encoder, texts)
    keys = torch.cat([text_keys(features[0]), text_keys(features[1])])
    vectors = torch.cat([encoder(dict(features[i]))["sentence_embedding"].detach() for i in (0, 1)])
    copied = CLEARLoss(encoder, guard=1.0)
    known = CLEARLoss(encoder, guard=1.0, base_embeddings=(keys, 3 * vectors))  # the cosine does not see lengths
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    value, gradient = value_and_gradient(copied, encoder, texts)
    found, found_gradient = value_and_gradient(known, encoder, texts)
    assert copied.pop_terms()["clear/guard"] > 1e-4, "nothing moved, so the test shows nothing"
    assert found == pytest.approx(value, rel=1e-9)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match="no known embedding by the encoder before training"):
        known(features_of(encoder, make_texts(1, seed=4)))


def test_with_a_dot_product_the_guard_sees_lengths(encoder):
    texts = make_texts(1)
    loss = CLEARLoss(encoder, alpha=0, beta=0, guard=1.0, similarity_fct=dot_score, scale=1.0)
    loss(features_of(encoder, texts))
    assert loss.pop_terms()["clear/guard"] == pytest.approx(0, abs=1e-12)
    scaled = encoder.forward
    encoder.forward = lambda *i, **m: (out := scaled(*i, **m)) | {"sentence_embedding": 2 * out["sentence_embedding"]}
    loss(features_of(encoder, texts))
    assert loss.pop_terms()["clear/guard"] == pytest.approx(0.5), "half the squared distance, of the base's length"
