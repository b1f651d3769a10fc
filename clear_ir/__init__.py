"""clear-ir: make text-embedding models good at cross-lingual retrieval with CLEAR, and prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clear_ir.data.training_rows import columns_of
    from clear_ir.encode.exported import exported_backends
    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator
    from clear_ir.loss.cached_clear_loss import CachedCLEARLoss
    from clear_ir.loss.clear_loss import CLEARLoss
    from clear_ir.loss.dropout import fast_dropout
    from clear_ir.loss.term_log import log_terms
    from clear_ir.loss.vocabulary import used_vocabulary
    from clear_ir.train.arguments import training_arguments

__version__ = "0.1.0"
__all__ = [
    "CLEARLoss",
    "CachedCLEARLoss",
    "CrossLingualEvaluator",
    "columns_of",
    "exported_backends",
    "fast_dropout",
    "log_terms",
    "read_collection",
    "training_arguments",
    "used_vocabulary",
]

_HOMES = {
    "CLEARLoss": "clear_ir.loss.clear_loss",
    "CachedCLEARLoss": "clear_ir.loss.cached_clear_loss",
    "CrossLingualEvaluator": "clear_ir.evaluate.trainer_evaluator",
    "columns_of": "clear_ir.data.training_rows",
    "exported_backends": "clear_ir.encode.exported",
    "fast_dropout": "clear_ir.loss.dropout",
    "log_terms": "clear_ir.loss.term_log",
    "read_collection": "clear_ir.data.collection_files",
    "training_arguments": "clear_ir.train.arguments",
    "used_vocabulary": "clear_ir.loss.vocabulary",
}


def __getattr__(name: str) -> Any:
    # Imported when first used, so that the command line's --help need not wait for torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
