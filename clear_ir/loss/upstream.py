"""Private names of sentence-transformers that the loss uses, gathered here.

Read in sentence-transformers 6.2.0. They may move in any release; ``tests/loss/test_upstream.py`` then says which.

- ``CachedLossMixin``: the gradient cache; its ``forward_cached`` calls our ``embed_minibatch`` and ``calculate_loss``.
- ``RandContext``: random state of a mini-batch, replayed by its second pass.
- ``batch_size_of``: rows of tokenized features, padded or flattened.
- ``cut_features``: some rows of tokenized features, padded or flattened.
- ``has_static_embedding_input``: whether a model embeds its inputs with a ``StaticEmbedding``.
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
        "Install the release that clear-ir knows: pip install 'sentence-transformers>=6.2,<6.3'"
    ) from error

__all__ = ["CachedLossMixin", "RandContext", "batch_size_of", "cut_features", "has_static_embedding_input"]
