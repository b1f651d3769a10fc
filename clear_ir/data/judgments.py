"""Read files of judgments (qrels): in BEIR's layout, with names and orders that other programs write, or in TREC's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from clear_ir.data.files import InputError, not_utf8, open_bytes

#: trec_eval, which computes the measures, keeps a counter for each relevance up to the highest.
_RELEVANCE = re.compile(r"(-?[0-9]{1,6})(\.0+)?")

#: Names of the columns in a header, in lower case and without what is between words.
_QUERY = ("queryid", "qid", "query", "topic", "topicid")
_PASSAGE = ("corpusid", "docid", "documentid", "passageid", "pid", "doc", "docno", "did")
_SCORE = ("score", "relevance", "rel", "label", "relevancy", "grade")

#: Where query, passage and score are in a line without a header: BEIR's three fields, TREC's four.
_BEIR, _TREC = (0, 1, 2), (0, 2, 3)


def read_judgments(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Read judgments.

    Args:
        path: A file of query id, passage id and score, or of TREC's query id, 0, passage id and score, between tabs or
            spaces, also packed with gzip. With a header, columns may have another order, and others are left out.

    Yields:
        Place, query id, passage id and relevance of each line.

    Raises:
        InputError: If there is no such file, or a line has not these fields.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; a collection needs its judgments there.")
    try:
        with open_bytes(path) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    header, width = None, 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.rstrip().split("\t")] if "\t" in line else line.split()
        if not width:
            header, width = _places(fields), len(fields)
            if header:
                continue
        is_trec = width == 4 and fields[1:2] in (["0"], ["Q0"])
        query, passage, score = header or (_TREC if is_trec else _BEIR)
        fits = len(fields) == width if header or is_trec else len(fields) == 3
        relevance = _RELEVANCE.fullmatch(fields[score]) if fits else None
        if relevance is None:
            raise InputError(
                f"{path}, line {number}: expected query-id, corpus-id and a whole number below a million between tabs, "
                f"found {line[:200]!r}."
            )
        yield f"{path}, line {number}", fields[query], fields[passage], int(relevance[1])


def _places(fields: Sequence[str]) -> tuple[int, int, int] | None:
    """Where a header has query, passage and score; None if the line is no header."""
    names = [re.sub(r"[\W_]", "", field).lower() for field in fields]
    found = [next((names.index(name) for name in known if name in names), None) for known in (_QUERY, _PASSAGE, _SCORE)]
    query, passage, score = found
    return None if query is None or passage is None or score is None else (query, passage, score)
