"""The private names of sentence-transformers that the loss uses are where it expects them, and are what it expects."""

import inspect

import sentence_transformers
import torch

from clear_ir.loss import private_names

#: Arguments by name, as read in sentence-transformers 6.2.0.
EXPECTED = {
    private_names.batch_size_of: ["sentence_feature"],
    private_names.cut_features: ["sentence_feature", "begin", "end"],
    private_names.has_static_embedding_input: ["model"],
    private_names.CachedLossMixin.forward_cached: ["self", "sentence_features", "labels"],
    private_names.CachedLossMixin.calculate_loss: ["self", "reps", "labels", "with_backward"],
    private_names.CachedLossMixin.embed_minibatch: [
        "self", "sentence_feature", "begin", "end", "with_grad", "copy_random_state", "random_state",
    ],
}  # fmt: skip


def test_private_names_are_as_they_were_read():
    for function, arguments in EXPECTED.items():
        assert list(inspect.signature(function).parameters) == arguments, (
            f"sentence-transformers {sentence_transformers.__version__} has changed {function.__qualname__}, which "
            "clear_ir/loss/private_names.py takes; read it again"
        )


def test_the_mixin_calls_what_we_override():
    source = inspect.getsource(private_names.CachedLossMixin)
    assert "self.embed_minibatch(" in source
    assert "self.calculate_loss(" in inspect.getsource(inspect.getmodule(private_names.CachedLossMixin))


def test_features_are_counted_and_cut():
    features = {"input_ids": torch.arange(12).reshape(4, 3), "attention_mask": torch.ones(4, 3, dtype=torch.int64)}
    assert private_names.batch_size_of(features) == 4
    assert private_names.cut_features(features, 1, 3)["input_ids"].tolist() == [[3, 4, 5], [6, 7, 8]]
