"""Data sets as parallel rows to train on and a collection to test on, one module each."""

from clear_ir.datasets.afriqa import load_afriqa
from clear_ir.datasets.atlas import load_atlas
from clear_ir.datasets.parallel import load_parallel
from clear_ir.datasets.prepared import Prepared
from clear_ir.datasets.xquad import load_xquad

__all__ = ["Prepared", "load_afriqa", "load_atlas", "load_parallel", "load_xquad"]
