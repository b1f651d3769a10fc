"""Batches of texts for a loss, and the value and gradient of a loss on them."""

import random

import torch
from tiny import WORDS, make_encoder

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss.packing import text_keys

ROWS = 7


def make_texts(n, m=None, seed=0, rows=ROWS):
    """The texts of each column: n negative passages, m negative queries (None: also n)."""
    rng = random.Random(seed)
    count = 3 + n + (n if m is None else m)
    return [[" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(rows)] for _ in range(count)]


def features_of(encoder, texts):
    return [encoder.preprocess(column) for column in texts]


def fixed_passages(encoder, texts, **changes):
    """The arguments of a loss with all terms, whose two columns of negatives and many other passages are fixed."""
    others = [f"the {word} of the {other}" for word, other in zip(WORDS[:20], WORDS[20:40], strict=True)]
    passages = list(dict.fromkeys([*(text for column in texts[1:4] for text in column), *others]))
    vectors = encoder.encode(passages, convert_to_tensor=True).clone()
    weights = {"alpha": 0.3, "beta": 0.2, "gamma": 0.3, "guard": 0.5, "distil": 2.0, "cross_guard": 1.5}
    known = text_keys(encoder.preprocess(passages)), vectors
    return {"num_negatives": 2, "passage_embeddings": known, "candidates": 15, **weights, **changes}


def value_and_gradient(loss, encoder, texts, seed=3):
    """The loss, and its gradient in all parameters as one vector. The seed decides the dropout."""
    torch.manual_seed(seed)
    encoder.zero_grad()
    value = loss(features_of(encoder, texts), None)
    value.backward()
    gradient = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    assert gradient.norm() > 1e-3, "the gradient vanished, so the comparison shows nothing"
    return value.item(), gradient


def sharded_cases():
    """Texts, loss, its options, and whether only used rows of the table are trained: what FSDP2 is tested with."""
    texts = make_texts(2, rows=8)
    # Of the first of two processes' texts so few are distinct that it has fewer mini-batches than the second.
    few = [[column[0]] * 4 + column[4:] for column in texts]
    return {
        "plain": (texts, CLEARLoss, {"gamma": 0.1}, False),
        "guard": (texts, CLEARLoss, {"gamma": 0.1, "guard": 1.0, "distil": 1.0, "cross_guard": 1.0}, False),
        "fixed": (texts, CLEARLoss, fixed_passages(make_encoder(), texts), False),
        "used": (texts, CLEARLoss, {"gamma": 0.1}, True),
        "few": (few, CachedCLEARLoss, {"mini_batch_num_tokens": 120}, False),
    }
