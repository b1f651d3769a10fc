"""Passages in several languages: a translation of a known positive is never a negative."""

import numpy as np
import pytest
import torch
from loss_batches import ROWS, features_of, make_texts, value_and_gradient
from reference_loss import clear_loss, cosine, numerical_gradient
from sentence_transformers.util import cos_sim

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss.frozen_passages import FrozenPassages
from clear_ir.loss.packing import text_keys
from clear_ir.loss.same_passages import SamePassages
from clear_ir.loss.terms import Batch, Rows, Weights, clear_terms

WEIGHTS = {"alpha": 0.3, "beta": 0.1, "gamma": 0.3}
#: In a batch of seven rows with one negative, the passages (positives 0 to 6, negatives 7 to 13) that are translations
#: of one: the first row's positive is the third's negative, the fifth's is the sixth's, and two negatives are one.
GROUPS = [{0, 9}, {4, 12}, {7, 11}]
#: For each row the columns of passages that are its positive in another language.
LEFT_OUT = {0: {9}, 4: {12}}


def shared_keys(keys):
    """`same_passages` for keys of the passages of a batch: in each group all share the key of the first."""
    pairs = {keys[member].item(): keys[min(group)].item() for group in GROUPS for member in group}
    return torch.tensor(list(pairs)), torch.tensor(list(pairs.values()))


def test_keys_that_are_shared_and_those_that_are_not():
    same = SamePassages(torch.tensor([5, -3, 9]), torch.tensor([5, 5, 8]))
    assert same.shared_keys(torch.tensor([[-3, 9], [5, 7]])).tolist() == [[5, 8], [5, 7]]
    none = SamePassages(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64))
    assert none.shared_keys(torch.tensor([1, 2])).tolist() == [1, 2]
    with pytest.raises(ValueError, match="2 keys of passages and 1 shared"):
        SamePassages(torch.tensor([1, 2]), torch.tensor([1]))
    with pytest.raises(ValueError, match="given twice"):
        SamePassages(torch.tensor([1, 1]), torch.tensor([1, 2]))


def test_value_and_gradient_equal_the_float64_formula():
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal((ROWS, 6)) for _ in range(5)]
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    keys = torch.tensor(rng.permutation(100)[: 2 * ROWS])
    passage_keys = SamePassages(*shared_keys(keys)).shared_keys(keys)
    side_keys = torch.arange(200, 200 + ROWS), torch.arange(300, 300 + 2 * ROWS)
    batch = Batch(ROWS, torch.cat(tensors[1:3]), tensors[0], torch.cat(tensors[3:]), passage_keys, *side_keys)
    weights = Weights(**WEIGHTS)
    terms = clear_terms(Rows(batch, torch.arange(ROWS), scale=20.0, similarity=cos_sim), weights)
    loss = sum(weight * terms[name].sum() / ROWS for name, weight in weights.by_term().items())

    def reference(changed, left_out=LEFT_OUT):
        return clear_loss(changed, 1, **WEIGHTS, left_out_forward=left_out)

    assert loss.item() == pytest.approx(reference(columns), rel=1e-12)
    assert loss.item() != pytest.approx(reference(columns, {}), rel=1e-6)
    loss.backward()
    for tensor, gradient in zip(tensors, numerical_gradient(reference, columns), strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, atol=2e-7, rtol=1e-5)
        assert np.abs(gradient).sum() > 0.01


@pytest.mark.parametrize("cached", [{"mini_batch_size": 3}, {"mini_batch_num_tokens": 17}])
def test_plain_and_cached_losses_leave_translations_out(encoder, cached):
    texts = make_texts(1)
    columns = [encoder.encode(column).astype(np.float64) for column in texts]
    same = shared_keys(text_keys(encoder.preprocess(texts[1] + texts[2])))
    plain = CLEARLoss(encoder, **WEIGHTS, same_passages=same)
    value, gradient = value_and_gradient(plain, encoder, texts)
    assert value == pytest.approx(clear_loss(columns, 1, **WEIGHTS, left_out_forward=LEFT_OUT), rel=1e-9)
    assert value != pytest.approx(clear_loss(columns, 1, **WEIGHTS), rel=1e-6)
    by_cache = CachedCLEARLoss(encoder, **WEIGHTS, same_passages=same, **cached)
    by_cache_value, by_cache_gradient = value_and_gradient(by_cache, encoder, texts)
    assert by_cache_value == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(by_cache_gradient, gradient, rtol=1e-9, atol=1e-11)
    assert plain.get_config_dict()["same_passages"] == 6
    assert "same_passages" not in CLEARLoss(encoder).get_config_dict()


def test_the_questions_of_a_translated_passage_are_known_positives_of_it(encoder):
    """The reverse term: rows 0 and 3 have one passage, in two languages."""
    texts = make_texts(0)
    keys = text_keys(encoder.preprocess(texts[1]))
    loss = CLEARLoss(encoder, alpha=1.0, beta=0, same_passages=(keys[[0, 3]], keys[[0, 0]]))
    columns = [encoder.encode(column).astype(np.float64) for column in texts]
    expected = clear_loss(columns, 0, alpha=1.0, beta=0, left_out_reverse={0: {3}, 3: {0}})
    assert loss(features_of(encoder, texts)).item() == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(clear_loss(columns, 0, alpha=1.0, beta=0), rel=1e-6)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("count", [None, 4])
def test_each_version_of_a_fixed_passage_is_to_be_found_and_none_is_a_negative(known, count):
    rng = np.random.default_rng(1)
    queries, passages = rng.standard_normal((3, 6)), rng.standard_normal((9, 6))
    keys = torch.tensor(rng.permutation(100)[:9])
    same = SamePassages(keys[[0, 5, 7, 2, 8]], keys[[0, 0, 0, 2, 2]])
    positives, query_keys = [5, 2, 4], torch.tensor([11, 12, 13])
    pairs = (query_keys, keys[positives]) if known else None
    fixed = FrozenPassages(keys, torch.tensor(passages), pairs, num_candidates=count, same=same)
    candidates = fixed.candidates(keys[[*positives, 0, 8]], [] if known else [query_keys], 3)
    chosen = range(9) if count is None else candidates.numbers.tolist()
    versions = [{5, 0, 7}, {2, 8}, {4}]
    found = candidates.info_nce(torch.tensor(queries), query_keys, torch.arange(3), 20.0)
    for i, query in enumerate(queries):
        scores = [20 * cosine(query, passage) for passage in passages]
        others = sum(np.exp(scores[j]) for j in chosen if j not in versions[i])
        expected = np.mean([np.log(others + np.exp(scores[j])) - scores[j] for j in versions[i]])
        assert found[i].item() == pytest.approx(expected, rel=1e-12)
    without = FrozenPassages(keys, torch.tensor(passages), pairs, num_candidates=count)
    without = without.candidates(keys[[*positives, 0, 8]], [] if known else [query_keys], 3)
    others = without.info_nce(torch.tensor(queries), query_keys, torch.arange(3), 20.0)
    assert (others[:2] - found[:2]).abs().min() > 1e-6, "here a translation is a negative"
    assert others[2].item() == pytest.approx(found[2].item(), rel=1e-12)
