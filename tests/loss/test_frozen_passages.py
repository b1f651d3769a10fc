"""Queries trained alone: passages are looked up, and all of them are candidates."""

import numpy as np
import pytest
import torch
from loss_batches import ROWS, features_of, make_texts, value_and_gradient
from reference_loss import clear_loss, cosine, numerical_gradient
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.util import cos_sim, dot_score, euclidean_sim
from tiny import WORDS, make_encoder

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss import frozen_passages
from clear_ir.loss.frozen_passages import FrozenPassages
from clear_ir.loss.packing import text_keys
from clear_ir.loss.same_passages import SamePassages

DIM, PASSAGES = 6, 11
OTHERS = [f"the {word} of the {other}" for word, other in zip(WORDS[:20], WORDS[20:40], strict=True)]


def dot(a, b):
    return float(a @ b)


def reference(queries, passages, positives, left_out, similarity, scale, margin=None, chosen=None):
    """The sum over rows of -log softmax, in plain loops."""
    total = 0.0
    for i, query in enumerate(queries):
        own = similarity(query, passages[positives[i]])
        scores = {}
        for j, passage in enumerate(passages):
            score = similarity(query, passage)
            likely = margin is not None and score > own + margin
            drawn = chosen is None or j in chosen
            if j == positives[i] or (drawn and not likely and (i, j) not in left_out):
                scores[j] = scale * score
        total += np.log(sum(np.exp(score) for score in scores.values())) - scores[positives[i]]
    return total


@pytest.mark.parametrize("scores_at_once", [2**20, 12, 1])
@pytest.mark.parametrize(("similarity", "scale"), [(cosine, 20.0), (dot, 1.0)])
@pytest.mark.parametrize("margin", [None, 0.05])
@pytest.mark.parametrize("count", [None, 3])
def test_info_nce_in_blocks_equals_plain_loops(monkeypatch, scores_at_once, similarity, scale, margin, count):
    monkeypatch.setattr(frozen_passages, "SCORES_AT_ONCE", scores_at_once)
    rng = np.random.default_rng(0)
    queries, passages = rng.standard_normal((4, DIM)), rng.standard_normal((PASSAGES, DIM)) * 2
    keys = torch.tensor(rng.permutation(1000)[:PASSAGES] - 500)
    positives = [3, 0, 3, 9]
    query_keys = torch.tensor([7, 8, 9, 7])
    # Queries 7 have two answers in the batch and one beyond it; the third is another query with the first's passage.
    pairs = [(7, 3), (7, 9), (7, 5), (8, 0), (9, 3), (9, 10), (1, 4)]
    known = torch.tensor([query for query, _ in pairs]), keys[[passage for _, passage in pairs]]
    fixed = FrozenPassages(keys, torch.tensor(passages), known, cosine=similarity is cosine, num_candidates=count)
    candidates = fixed.candidates(keys[positives], [], 4)
    chosen = None if count is None else set(candidates.numbers.tolist())
    assert chosen is None or set(positives) <= chosen < set(range(PASSAGES))
    left_out = {(0, 9), (0, 5), (3, 3), (3, 5), (2, 10)}

    def plain(columns):
        return reference(columns[0], passages, positives, left_out, similarity, scale, margin, chosen)

    tensor = torch.tensor(queries, requires_grad=True)
    found = candidates.info_nce(tensor, query_keys, torch.arange(4), scale, margin)
    assert found.sum().item() == pytest.approx(plain([queries]), rel=1e-12)
    without = reference(queries, passages, positives, set(), similarity, scale, margin, chosen)
    assert chosen is not None or found.sum().item() != pytest.approx(without, rel=1e-6)
    found.sum().backward()
    [expected] = numerical_gradient(plain, [queries])
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-6, rtol=1e-5)
    assert np.abs(expected).sum() > 0.1
    some = candidates.info_nce(tensor[[2, 1]], query_keys[[2, 1]], torch.tensor([2, 1]), scale, margin)
    torch.testing.assert_close(some, found[[2, 1]])


@pytest.mark.parametrize("scores_at_once", [2**20, 12, 1])
@pytest.mark.parametrize("margin", [None, 0.2])
def test_a_query_finds_its_passage_in_every_language(monkeypatch, scores_at_once, margin):
    monkeypatch.setattr(frozen_passages, "SCORES_AT_ONCE", scores_at_once)
    rng = np.random.default_rng(0)
    queries, passages = rng.standard_normal((3, DIM)), rng.standard_normal((PASSAGES, DIM))
    keys = torch.tensor(rng.permutation(1000)[:PASSAGES] - 500)
    # Passages 3, 4 and 5 are one passage, as are 0 and 7; passage 9 has no translation.
    versions = {3: [3, 4, 5], 0: [0, 7], 9: [9]}
    same = SamePassages(keys[[3, 4, 5, 0, 7]], torch.tensor([1, 1, 1, 2, 2]))
    known = torch.tensor([7, 7, 8]), keys[[3, 9, 0]]
    fixed = FrozenPassages(keys, torch.tensor(passages), known, same=same)
    positives, query_keys = [3, 0, 9], torch.tensor([7, 8, 9])
    candidates = fixed.candidates(keys[positives], [], 3)
    others = [set(range(PASSAGES)) - {3, 4, 5, 9}, set(range(PASSAGES)) - {0, 7}, set(range(PASSAGES)) - {9}]

    def plain(columns):
        total = 0.0
        for query, positive, rest in zip(columns[0], positives, others, strict=True):
            own = [cosine(query, passages[version]) for version in versions[positive]]
            scores = [cosine(query, passages[other]) for other in rest]
            if margin is not None:
                scores = [score for score in scores if score <= max(own) + margin]
            rest_sum = sum(np.exp(20 * score) for score in scores)
            total += np.mean([np.log(rest_sum + np.exp(20 * score)) - 20 * score for score in own])
        return total

    tensor = torch.tensor(queries, requires_grad=True)
    found = candidates.info_nce(tensor, query_keys, torch.arange(3), 20.0, margin)
    assert found.sum().item() == pytest.approx(plain([queries]), rel=1e-12)
    found.sum().backward()
    [expected] = numerical_gradient(plain, [queries])
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-6, rtol=1e-5)
    assert np.abs(expected).sum() > 0.1


def ranking(queries, passages, original, similarity, scale, chosen):
    """The softmax of the queries' scores with the originals of some passages, which their versions share, in loops."""
    shares = np.zeros((len(queries), len(passages)))
    for i, query in enumerate(queries):
        for j in chosen:
            versions = original.count(original[j])
            shares[i, j] = np.exp(scale * similarity(query, passages[original[j]])) / versions
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scores_at_once", [2**20, 12, 1])
@pytest.mark.parametrize(("similarity", "scale"), [(cosine, 20.0), (dot, 1.0)])
@pytest.mark.parametrize("count", [None, 3])
@pytest.mark.parametrize("translated", [False, True])
def test_soft_labels_are_the_ranking_by_the_base(monkeypatch, scores_at_once, similarity, scale, count, translated):
    monkeypatch.setattr(frozen_passages, "SCORES_AT_ONCE", scores_at_once)
    rng = np.random.default_rng(0)
    queries, english, passages = (rng.standard_normal((rows, DIM)) for rows in (4, 4, PASSAGES))
    keys = torch.tensor(rng.permutation(1000)[:PASSAGES] - 500)
    # Passages 4 and 5 are translations of 3, and 7 of 0.
    original, same = list(range(PASSAGES)), None
    if translated:
        original[4], original[5], original[7] = 3, 3, 0
        same = SamePassages(keys[[3, 4, 5, 7]], keys[[3, 3, 3, 0]])
    options = {"cosine": similarity is cosine, "num_candidates": count, "same": same}
    candidates = FrozenPassages(keys, torch.tensor(passages), **options).candidates(keys[[3, 0, 3, 9]], [], 4)
    chosen = range(PASSAGES) if count is None else candidates.numbers.tolist()
    shares = ranking(english, passages, original, similarity, scale, chosen)

    def plain(columns):
        total = 0.0
        for query, share in zip(columns[0], shares, strict=True):
            scores = {j: scale * similarity(query, passages[j]) for j in chosen}
            log_sum = np.log(sum(np.exp(score) for score in scores.values()))
            total -= sum(share[j] * (score - log_sum) for j, score in scores.items())
        return total

    tensor = torch.tensor(queries, requires_grad=True)
    labels = candidates.ranked(torch.tensor(english), scale)
    found = candidates.soft_info_nce(tensor, labels, scale)
    assert found.sum().item() == pytest.approx(plain([queries]), rel=1e-12)
    found.sum().backward()
    [expected] = numerical_gradient(plain, [queries])
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-6, rtol=1e-5)
    assert np.abs(expected).sum() > 0.1
    if not translated:  # where the query is the English one, it has nothing to learn
        tensor = torch.tensor(english, requires_grad=True)
        candidates.soft_info_nce(tensor, labels, scale).sum().backward()
        torch.testing.assert_close(tensor.grad, torch.zeros_like(tensor), atol=1e-12, rtol=0)


def test_a_query_that_every_passage_answers_has_nothing_to_learn():
    keys, vectors = torch.arange(2), torch.eye(2, dtype=torch.float64)
    fixed = FrozenPassages(keys, vectors, (torch.tensor([5, 5, 6]), torch.tensor([0, 1, 1])))
    queries = torch.tensor([[1.0, 0.2], [0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = fixed.candidates(keys, [], 2).info_nce(queries, torch.tensor([5, 6]), torch.arange(2), 20.0)
    assert loss[0] == 0
    assert loss[1] > 0
    loss.sum().backward()
    assert (queries.grad[0] == 0).all()
    assert (queries.grad[1] != 0).all()


def keys_of(encoder, texts):
    return text_keys(encoder.preprocess(texts))


def fixed_arguments(encoder, texts, n=1):
    """The arguments of a loss whose passages are those of the batch and others, and the embeddings of all of them."""
    passages = list(dict.fromkeys([*(text for column in texts[1 : 2 + n] for text in column), *OTHERS]))
    vectors = encoder.encode(passages, convert_to_tensor=True).clone()
    return passages, {"num_negatives": n, "passage_embeddings": (keys_of(encoder, passages), vectors)}


def moved(encoder):
    """The encoder after a step, so that fixed passages are no longer what it makes of them."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.manual_seed(1))
    return encoder


ALL_TERMS = {"alpha": 0.3, "beta": 0.2, "gamma": 0.3, "guard": 0.5, "distil": 2.0, "cross_guard": 1.5}


CROSS = {"alpha": 0, "beta": 0, "gamma": 1.0}


@pytest.mark.parametrize("weights", [ALL_TERMS, CROSS | {"distil": 5.0}, CROSS | {"cross_guard": 5.0}])
@pytest.mark.parametrize("cached", [{"mini_batch_size": 3}, {"mini_batch_num_tokens": 17}, {}])
def test_plain_and_cached_equal_the_formula(encoder, weights, cached):
    texts = make_texts(1)
    passages, arguments = fixed_arguments(encoder, texts)
    base = [encoder.encode(column).astype(np.float64) for column in texts[:4]]
    known = keys_of(encoder, texts[0] + texts[3]), keys_of(encoder, texts[1] * 2)
    arguments |= weights | {"known_pairs": known}
    plain, by_cache = CLEARLoss(encoder, **arguments), CachedCLEARLoss(encoder, **arguments, **cached)
    vectors = arguments["passage_embeddings"][1].numpy()
    moved(encoder)
    value, gradient = value_and_gradient(plain, encoder, texts)

    row_of = {text: row for row, text in enumerate(passages)}
    columns = [encoder.encode(column).astype(np.float64) for column in texts]
    for column in (1, 2):
        columns[column] = vectors[[row_of[text] for text in texts[column]]]
    positives = [row_of[text] for text in texts[1]]
    expected = sum(
        weight * reference(side, vectors, positives, set(), cosine, 20.0) / ROWS
        for weight, side in ((1 - sum(weights[k] for k in ("alpha", "beta", "gamma")), columns[0]),
                             (weights["gamma"], columns[3]))
    )  # fmt: skip
    # What reads the batch's passages is the old formula without its forward and cross term.
    alone = {"alpha": weights["alpha"], "beta": weights["beta"], "guard": weights.get("guard", 0.0)}
    alone |= {name: weights.get(name, 0.0) for name in ("distil", "cross_guard")}
    expected += clear_loss(columns, 1, base=base, own_base=base[3], **alone)
    expected -= clear_loss(columns, 1, alpha=0, beta=0) * (1 - weights["alpha"] - weights["beta"])
    assert value == pytest.approx(expected, rel=1e-9)
    by_cache_value, by_cache_gradient = value_and_gradient(by_cache, encoder, texts)
    assert by_cache_value == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(by_cache_gradient, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cached", [None, {"mini_batch_size": 3}])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("soft", [1.0, 0.3])
def test_a_loss_with_soft_labels_equals_the_formula(encoder, cached, known, soft):
    texts = make_texts(1)
    passages, arguments = fixed_arguments(encoder, texts)
    vectors = arguments["passage_embeddings"][1].numpy().astype(np.float64)
    english = encoder.encode(texts[0]).astype(np.float64)
    arguments |= {"alpha": 0, "beta": 0, "gamma": 0.4, "soft_labels": soft}
    if known:  # as computed before; else by a copy of the encoder
        arguments["base_embeddings"] = keys_of(encoder, texts[0]), torch.tensor(english)
    loss = CLEARLoss(encoder, **arguments) if cached is None else CachedCLEARLoss(encoder, **arguments, **cached)
    shares = ranking(english, vectors, list(range(len(passages))), cosine, 20.0, range(len(passages)))
    moved(encoder)
    value, gradient = value_and_gradient(loss, encoder, texts)

    def cross_entropy(column):
        queries = torch.tensor(encoder.encode(column).astype(np.float64))
        scores = 20 * torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(torch.tensor(vectors)).T
        hard = reference(queries.numpy(), vectors, positives, set(), cosine, 20.0)
        return (-soft * (torch.tensor(shares) * scores.log_softmax(dim=1)).sum().item() + (1 - soft) * hard) / ROWS

    positives = [passages.index(text) for text in texts[1]]
    assert value == pytest.approx(0.6 * cross_entropy(texts[0]) + 0.4 * cross_entropy(texts[3]), rel=1e-6)
    assert gradient.abs().sum() > 0.1
    hard, _ = value_and_gradient(CLEARLoss(encoder, **arguments | {"soft_labels": 0.0}), encoder, texts)
    assert hard != pytest.approx(value, rel=1e-2)


@pytest.mark.parametrize("duplicates", [False, True])
def test_with_the_batchs_passages_as_all_it_is_the_loss_of_the_batch(encoder, duplicates):
    texts = make_texts(1)
    if duplicates:
        texts[0][4] = texts[0][2]  # two answers to one question
    passages = [text for column in texts[1:3] for text in column]
    arguments = dict(ALL_TERMS, num_negatives=1)
    of_batch = CLEARLoss(encoder, **arguments)
    vectors = encoder.encode(passages, convert_to_tensor=True).clone()
    fixed = CLEARLoss(encoder, **arguments, passage_embeddings=(keys_of(encoder, passages), vectors))
    moved(encoder)
    # Both losses see the same passages: those of the moved encoder.
    fixed._fixed._vectors = encoder.encode(passages, convert_to_tensor=True).clone()
    fixed(features_of(encoder, texts))
    of_batch(features_of(encoder, texts))
    terms, expected = fixed.pop_terms(), of_batch.pop_terms()
    for name in ("forward", "reverse", "kl", "cross", "distil", "cross_guard"):
        assert terms[f"clear/{name}"] == pytest.approx(expected[f"clear/{name}"], rel=1e-9), name
        assert expected[f"clear/{name}"] > 1e-3
    assert terms["clear/guard"] < expected["clear/guard"], "only the queries moved"


def test_passages_are_never_embedded_and_get_no_gradient(encoder):
    texts = make_texts(1)
    _, arguments = fixed_arguments(encoder, texts)
    before = arguments["passage_embeddings"][1].clone()
    seen = []
    encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0]["input_ids"])))
    value_and_gradient(CLEARLoss(encoder, **arguments), encoder, texts)
    queries = {text for column in (texts[0], *texts[3:]) for text in column}
    assert sum(seen) == len(queries)
    assert torch.equal(arguments["passage_embeddings"][1], before)
    assert not before.requires_grad


def test_a_draw_belongs_to_its_batch(encoder):
    keys = torch.arange(100)
    fixed, other = (FrozenPassages(keys, torch.eye(100), num_candidates=20, seed=seed) for seed in (0, 1))

    def drawn(passages, batch):
        return passages.candidates(torch.tensor(batch), [], len(batch)).numbers.tolist()

    assert drawn(fixed, [5, 80]) == drawn(fixed, [5, 80])
    assert {5, 80} < set(drawn(fixed, [5, 80]))
    assert 20 <= len(drawn(fixed, [5, 80])) <= 22
    assert drawn(fixed, [5, 80]) != drawn(fixed, [5, 81])
    assert drawn(fixed, [5, 80]) != drawn(other, [5, 80])
    assert FrozenPassages(keys, torch.eye(100), num_candidates=100).candidates(keys[:2], [], 2).numbers is None


def test_no_matrix_of_all_scores_is_held(monkeypatch):
    monkeypatch.setattr(frozen_passages, "SCORES_AT_ONCE", 64)
    widest = []
    real = frozen_passages.FrozenPassages.vectors_of

    def watched(self, numbers, like):
        vectors = real(self, numbers, like)
        widest.append(len(vectors))
        return vectors

    monkeypatch.setattr(frozen_passages.FrozenPassages, "vectors_of", watched)
    fixed = FrozenPassages(torch.arange(1000), torch.randn(1000, 8))
    queries = torch.randn(4, 8, requires_grad=True)
    fixed.candidates(torch.arange(4), [], 4).info_nce(queries, None, torch.arange(4), 20.0).sum().backward()
    assert max(widest) == 16
    assert queries.grad.abs().sum() > 0


def test_within_matryoshka_passages_are_cut_too(encoder):
    texts = make_texts(1)
    passages, arguments = fixed_arguments(encoder, texts)
    arguments |= {"alpha": 0, "beta": 0, "gamma": 1.0}
    queries = encoder.encode(texts[3])
    vectors = arguments["passage_embeddings"][1].numpy()
    positives = [passages.index(text) for text in texts[1]]

    def shrunk(dim):
        return reference(queries[:, :dim], vectors[:, :dim], positives, set(), cosine, 20.0) / ROWS

    for loss in (CLEARLoss(encoder, **arguments), CachedCLEARLoss(encoder, **arguments, mini_batch_size=3)):
        value, _ = value_and_gradient(MatryoshkaLoss(encoder, loss, [32, 8]), encoder, texts)
        assert value == pytest.approx(shrunk(32) + shrunk(8), rel=1e-6)


def test_what_does_not_fit_is_an_error(encoder):
    keys, vectors = torch.arange(3), torch.eye(3)
    with pytest.raises(ValueError, match="3 keys of passages and 2 embeddings"):
        FrozenPassages(keys, vectors[:2])
    with pytest.raises(ValueError, match="given twice"):
        FrozenPassages(torch.tensor([1, 2, 1]), vectors)
    with pytest.raises(ValueError, match="cos_sim or dot_score"):
        CLEARLoss(encoder, passage_embeddings=(keys, vectors), similarity_fct=euclidean_sim)
    loss = CLEARLoss(encoder, passage_embeddings=(keys, torch.ones(3, 32)), similarity_fct=dot_score)
    with pytest.raises(ValueError, match="no embedding in passage_embeddings"):
        loss(features_of(encoder, make_texts(1)))
    with pytest.raises(ValueError, match="Soft labels rank fixed passages"):
        CLEARLoss(encoder, soft_labels=0.5)
    with pytest.raises(ValueError, match="soft_labels is 2; give a share from 0 to 1"):
        CLEARLoss(encoder, soft_labels=2)
    config = CLEARLoss(encoder, passage_embeddings=(keys, vectors), candidates=2, soft_labels=0.5).get_config_dict()
    assert (config["fixed_passages"], config["candidates"], config["soft_labels"]) == (3, 2, 0.5)
    assert CLEARLoss(make_encoder()).similarity_fct is cos_sim
