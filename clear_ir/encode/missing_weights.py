"""Say which weights a model's files lack: transformers makes them up at random, and says so in a log that is off."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

#: A line of transformers' report: `encoder.layer.1.output.dense.bias | MISSING |`, perhaps with colours.
_MISSING = re.compile(r"^(\S+)\s*\|\s*(?:\x1b\[[\d;]*m)*MISSING", re.MULTILINE)
#: Parts that encoders do not use, so that their files often lack them.
_UNUSED = re.compile(r"\b(pooler|lm_head|cls|classifier)\b")

logger = logging.getLogger(__name__)


class _Reports(logging.Handler):
    """Keeps the missing weights that reports name."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Read a report."""
        self.missing += [name for name in _MISSING.findall(record.getMessage()) if not _UNUSED.search(name)]


@contextmanager
def warn_of_missing_weights(name: str) -> Iterator[None]:
    """Warn if a model that the block loads has weights that its files do not hold.

    Args:
        name: Its folder, or its name on the hub.
    """
    from transformers.utils import logging as transformers_logging

    reporter = transformers_logging.get_logger("transformers.modeling_utils")
    reports, level, propagate = _Reports(), reporter.level, reporter.propagate
    reporter.addHandler(reports)
    reporter.setLevel(logging.INFO)  # At a higher level transformers checks, and reports, more than this.
    reporter.propagate = False
    try:
        yield
    finally:
        reporter.removeHandler(reports)
        reporter.setLevel(level)
        reporter.propagate = propagate
    if reports.missing:
        logger.warning(
            "The files of %s lack %s weights, such as %s; these are random now, and so are its vectors. Get the "
            "complete model.",
            name,
            len(reports.missing),
            reports.missing[0],
        )
