"""Data sets as parallel rows to train on and a collection to test on, one module each."""

from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.atlas import load_atlas
from clear_ir.prepare.belebele import load_belebele
from clear_ir.prepare.mlqa import load_mlqa
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.parallel import load_parallel
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.xor_tydi import load_xor_tydi
from clear_ir.prepare.xquad import load_xquad
from clear_ir.prepare.xquad_r import load_xquad_r

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
