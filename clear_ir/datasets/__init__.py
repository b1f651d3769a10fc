"""Data sets as parallel rows to train on and a collection to test on, one module each."""

from clear_ir.datasets.afriqa import load_afriqa
from clear_ir.datasets.atlas import load_atlas
from clear_ir.datasets.belebele import load_belebele
from clear_ir.datasets.mlqa import load_mlqa
from clear_ir.datasets.ntrex import load_ntrex
from clear_ir.datasets.parallel import load_parallel
from clear_ir.datasets.prepared import Prepared
from clear_ir.datasets.xor_tydi import load_xor_tydi
from clear_ir.datasets.xquad import load_xquad
from clear_ir.datasets.xquad_r import load_xquad_r

__all__ = [
    "Prepared",
    "load_afriqa",
    "load_atlas",
    "load_belebele",
    "load_mlqa",
    "load_ntrex",
    "load_parallel",
    "load_xor_tydi",
    "load_xquad",
    "load_xquad_r",
]
