"""A collection: corpus, queries and qrels, each text with its language, in BEIR's layout.

    corpus.jsonl      {"_id", "title", "text", "lang"}
    queries.jsonl     {"_id", "text", "lang"}
    qrels/test.tsv    query-id, corpus-id, score, with a header line

``lang`` is our addition; a plain BEIR folder counts as English throughout. So is ``parallel_id``, equal for
translations of one text; it is the ``_id`` where it is not given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clear_ir.data.directions import ALL, Direction
from clear_ir.data.files import InputError, hash_of, read_jsonl, write_jsonl, write_text

Qrels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Text:
    """A query or passage.

    Args:
        id: Unique among the queries or among the passages, without white space.
        text: What is read.
        lang: Language code.
        title: A passage's title; empty for queries.
        parallel_id: Equal for translations of one text.
    """

    id: str
    text: str
    lang: str
    title: str = ""
    parallel_id: str = ""

    @property
    def full_text(self) -> str:
        """What an encoder reads: title and text, as BEIR and mteb join them."""
        return f"{self.title} {self.text}".strip()


@dataclass
class Collection:
    """A corpus with queries and the passages that answer them.

    Args:
        name: For people and for results.
        passages: All passages, by id.
        queries: All queries, by id.
        qrels: ``{query id: {passage id: relevance}}``, across all languages.
        split: Name of the qrels file.
    """

    name: str
    passages: dict[str, Text]
    queries: dict[str, Text]
    qrels: Qrels
    split: str = "test"
    _hash: str = field(default="", repr=False)
    _pairs: set[tuple[str, str]] = field(default_factory=set, repr=False)

    @property
    def directions(self) -> list[Direction]:
        """Every pair of languages with judged queries.

        q-en.p-en first, then for each language q-L.p-en, q-en.p-L and q-L.p-L, then the pairs without English.
        """

        def order(pair: tuple[str, str]) -> tuple[bool, str, int, str]:
            query, passage = pair
            foreign = query != passage and "en" not in pair
            other = passage if query == "en" else query
            kind = (query != "en") + 2 * (passage != "en")  # q-en.p-en, q-L.p-en, q-en.p-L, q-L.p-L
            return foreign, "" if other == "en" else other, kind, passage

        return [Direction(*pair) for pair in sorted(self._judged_pairs(), key=order)]

    @property
    def mixed_directions(self) -> list[Direction]:
        """Directions with a pool in several languages: English + L for each L, asked in either, and all languages.

        Only those with queries that :meth:`judged` keeps; the pool of all languages needs three or more.
        """
        pairs = self._judged_pairs()
        queries, passages = sorted({q for q, _ in pairs}), sorted({p for _, p in pairs})
        found = []
        if "en" in passages:
            for lang in passages:
                found += [Direction(query, f"en+{lang}") for query in ("en", lang) if lang != "en"]
        if len(passages) > 2:
            found += [Direction(query, ALL) for query in queries]
        return [direction for direction in found if self.judged(direction)]

    def _judged_pairs(self) -> set[tuple[str, str]]:
        if not self._pairs:
            self._pairs = {
                (self.queries[query].lang, self.passages[passage].lang)
                for query, judged in self.qrels.items()
                for passage, relevance in judged.items()
                if relevance > 0
            }
        return self._pairs

    def pool_langs(self, direction: Direction) -> set[str]:
        """The languages of a direction's pool."""
        if direction.passage_lang == ALL:
            return {passage.lang for passage in self.passages.values()}
        return set(direction.passage_lang.split("+"))

    def judged(self, direction: Direction) -> Qrels:
        """The qrels of one direction: its queries that have a relevant passage in the pool.

        In a mixed pool a query counts if it has relevant passages in two languages or more, its own among them
        where the pool holds that.
        """
        langs = self.pool_langs(direction)
        selected: Qrels = {}
        for query, judged in self.qrels.items():
            own = self.queries[query].lang
            if own != direction.query_lang:
                continue
            found = {p: rel for p, rel in judged.items() if self.passages[p].lang in langs}
            relevant = {self.passages[p].lang for p, rel in found.items() if rel > 0}
            if not relevant or (direction.mixed and (len(relevant) < 2 or own in langs - relevant)):
                continue
            selected[query] = found
        return selected

    def pool(self, direction: Direction) -> list[Text]:
        """The passages to choose from in a direction, in the corpus's order."""
        langs = self.pool_langs(direction)
        return [passage for passage in self.passages.values() if passage.lang in langs]

    @property
    def data_hash(self) -> str:
        """SHA-256 of all texts and judgments: equal for equal data."""
        if not self._hash:
            parts = [f"{kind}\t{t.id}\t{t.lang}\t{t.full_text}" for kind, t in self._texts()]
            parts += [
                f"{q}\t{p}\t{rel}" for q, judged in sorted(self.qrels.items()) for p, rel in sorted(judged.items())
            ]
            self._hash = hash_of(*parts)
        return self._hash

    def _texts(self) -> Iterable[tuple[str, Text]]:
        for kind, texts in (("p", self.passages), ("q", self.queries)):
            for _, text in sorted(texts.items()):
                yield kind, text


def parallel_text(parallel_id: str, lang: str, text: str) -> Text:
    """A text that has translations: ``x`` in German has the id ``x@de``, and ``x`` joins it to its translations."""
    return Text(f"{parallel_id}@{lang}", text, lang, parallel_id=parallel_id)


def make_collection(
    name: str,
    passages: Iterable[Text],
    questions: Iterable[tuple[str, str, dict[str, str]]],
    split: str = "test",
) -> Collection:
    """Build a collection from questions that each have one relevant passage.

    Args:
        name: Of the collection.
        passages: The pool.
        questions: For each its id, the id of its passage, and its text by language.
        split: Of the qrels.

    Returns:
        A collection in which the query of question ``x`` in language ``l`` is ``x@l``.
    """
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for question, passage, text_by_lang in questions:
        for lang, text in text_by_lang.items():
            query = parallel_text(question, lang, text)
            queries[query.id] = query
            qrels[query.id] = {passage: 1}
    return Collection(name, {passage.id: passage for passage in passages}, queries, qrels, split)


def read_collection(folder: Path, split: str = "test") -> Collection:
    """Read a collection in BEIR's layout, see the module's description.

    Args:
        folder: Holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.
        split: Which qrels file to read.

    Returns:
        The collection, named after its folder, or the one above if that is just ``collection``; queries without a
        judgment are left out, as BEIR does.

    Raises:
        InputError: If a file is missing or empty, a field is missing, null or empty, an id is used twice or
            holds white space, or a qrels line names an unknown query or passage.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one with corpus.jsonl, queries.jsonl and qrels/{split}.tsv.")
    passages = _read_texts(folder / "corpus.jsonl")
    queries = _read_texts(folder / "queries.jsonl")
    qrels = _read_qrels(folder / "qrels" / f"{split}.tsv", passages, queries)
    judged = {query: queries[query] for query in queries if query in qrels}
    path = folder.resolve()
    # `clear-ir prepare` puts every data set's collection into a folder of that name.
    name = path.parent.name if path.name == "collection" else path.name
    return Collection(name, passages, judged, qrels, split)


def check_id(text_id: str, what: str) -> None:
    """Refuse an id that a TREC run or qrels file cannot hold.

    Args:
        text_id: Of a query or a passage.
        what: What it is, to begin the error's sentence: where it stands and its column.

    Raises:
        InputError: If it holds white space.
    """
    if any(character.isspace() for character in text_id):
        raise InputError(f"{what} {text_id!r} holds white space, which TREC files cannot carry; rename it.")


def write_collection(folder: Path, collection: Collection) -> None:
    """Write a collection in BEIR's layout, with ``lang`` and ``parallel_id``.

    Raises:
        InputError: If an id holds white space, so that no results of the collection could be written.
    """
    for kind, texts in (("passage", collection.passages), ("query", collection.queries)):
        for text_id in texts:
            check_id(text_id, f"The {kind} id")
    write_jsonl(
        folder / "corpus.jsonl",
        (
            {"_id": t.id, "title": t.title, "text": t.text, "lang": t.lang, "parallel_id": t.parallel_id or t.id}
            for t in collection.passages.values()
        ),
    )
    write_jsonl(
        folder / "queries.jsonl",
        (
            {"_id": t.id, "text": t.text, "lang": t.lang, "parallel_id": t.parallel_id or t.id}
            for t in collection.queries.values()
        ),
    )
    lines = [f"{q}\t{p}\t{rel}\n" for q, judged in collection.qrels.items() for p, rel in judged.items()]
    write_text(folder / "qrels" / f"{collection.split}.tsv", "query-id\tcorpus-id\tscore\n" + "".join(lines))


def _read_texts(path: Path) -> dict[str, Text]:
    texts: dict[str, Text] = {}
    for where, record in read_jsonl(path):
        for name in ("_id", "text"):
            if not str(record.get(name) or "").strip():
                state = "null or empty" if name in record else f"missing among {', '.join(record)}"
                raise InputError(f"{where}: {name!r} is {state}; each line needs _id and text.")
        text_id = str(record["_id"])
        check_id(text_id, f"{where}: the _id")
        if text_id in texts:
            raise InputError(f"{where}: the _id {text_id!r} stands there a second time; make ids unique.")
        lang, title = str(record.get("lang") or "en"), str(record.get("title") or "")
        texts[text_id] = Text(text_id, str(record["text"]), lang, title, str(record.get("parallel_id") or text_id))
    return texts


def _read_qrels(path: Path, passages: dict[str, Text], queries: dict[str, Text]) -> Qrels:
    if not path.exists():
        raise InputError(f"{path} does not exist; a collection needs its judgments there.")
    qrels: Qrels = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no valid UTF-8; save the file as UTF-8.") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-1].strip() == "score"):
            continue
        where = f"{path}, line {number}"
        if len(fields) != 3 or not fields[2].strip().lstrip("-").isdigit():
            raise InputError(f"{where}: expected query-id, corpus-id and a whole number between tabs, found {line!r}.")
        query, passage, relevance = fields[0], fields[1], int(fields[2])
        if query not in queries:
            raise InputError(f"{where}: the query {query!r} is not in queries.jsonl; add it or take the line out.")
        if passage not in passages:
            raise InputError(f"{where}: the passage {passage!r} is not in corpus.jsonl; add it or take the line out.")
        qrels.setdefault(query, {})[passage] = relevance
    if not any(relevance > 0 for judged in qrels.values() for relevance in judged.values()):
        raise InputError(f"{path} judges no passage relevant; give at least one line with a score above 0.")
    return qrels
