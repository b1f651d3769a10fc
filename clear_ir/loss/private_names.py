"""All private names of sentence-transformers that the loss uses.

They were checked in sentence-transformers 6.2.0. Any release may move them; `tests/loss/test_private_names.py` then
says which one.

- `CachedLossMixin`: the gradient cache; its `forward_cached` calls our `embed_minibatch` and `calculate_loss`.
- `RandContext`: the random state of a mini-batch, for its second pass.
- `batch_size_of`: the number of rows of tokenized features, padded or flattened.
- `cut_features`: takes some rows of tokenized features, padded or flattened.
- `has_static_embedding_input`: whether a model embeds its inputs with a `StaticEmbedding`.
"""

from importlib.metadata import version

try:
    from sentence_transformers.base.losses.gradcache import CachedLossMixin, RandContext, has_static_embedding_input
    from sentence_transformers.base.losses.gradcache import _create_minibatch as cut_features
    from sentence_transformers.base.losses.gradcache import _get_batch_size as batch_size_of
except ImportError as error:
    raise ImportError(
        f"clear-ir uses private names of sentence-transformers 6.2 that sentence-transformers "
        f"{version('sentence-transformers')} lacks ({error}). "
        "Install a release that has them: pip install 'sentence-transformers>=6.2,<6.3'"
    ) from error

__all__ = ["CachedLossMixin", "RandContext", "batch_size_of", "cut_features", "has_static_embedding_input"]
