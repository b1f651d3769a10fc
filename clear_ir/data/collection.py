"""A collection: corpus, queries and qrels, each text with its language, in BEIR's layout.

    corpus.jsonl      {"_id", "title", "text", "lang"}
    queries.jsonl     {"_id", "text", "lang"}
    qrels/test.tsv    query-id, corpus-id, score, with a header line

`lang` and `parallel_id` are our additions to BEIR. Without `lang` a text is English, so a plain BEIR folder is
all English. `parallel_id` is equal for translations of one text. A text without it gets its `_id`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clear_ir.data.directions import ALL, Direction
from clear_ir.data.files import (
    InputError,
    hash_of,
    not_utf8,
    open_bytes,
    or_packed,
    read_jsonl,
    write_jsonl,
    write_text,
)
from clear_ir.data.texts import is_english, text_key, text_of

Qrels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Text:
    """A query or passage.

    Args:
        id: Unique among the queries or among the passages, without white space.
        text: The text, without the title.
        lang: Language code.
        title: Title of a passage; empty for queries.
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
        name: Name in results and reports.
        passages: All passages, by id.
        queries: All queries, by id.
        qrels: `{query id: {passage id: relevance}}`, across all languages.
        split: Name of the qrels file.
        notes: What was left out or is worth knowing, a sentence each.
    """

    name: str
    passages: dict[str, Text]
    queries: dict[str, Text]
    qrels: Qrels
    split: str = "test"
    notes: list[str] = field(default_factory=list)
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
        """Directions with a pool in several languages.

        The pools are English + L for each language L, with queries in English and in L. With three languages or more
        there is also the pool of all languages, with queries in each. Directions in which `judged_queries` is
        empty are left out.
        """
        pairs = self._judged_pairs()
        queries, passages = sorted({q for q, _ in pairs}), sorted({p for _, p in pairs})
        directions = []
        if "en" in passages:
            for lang in passages:
                directions += [Direction(query, f"en+{lang}") for query in ("en", lang) if lang != "en"]
        if len(passages) > 2:
            directions += [Direction(query, ALL) for query in queries]
        return [direction for direction in directions if self.judged_queries(direction)]

    def _judged_pairs(self) -> set[tuple[str, str]]:
        """Query language and passage language of every relevant pair."""
        if not self._pairs:
            self._pairs = {
                (self.queries[query].lang, self._passage_lang(passage))
                for query, judged in self.qrels.items()
                for passage, relevance in judged.items()
                if relevance > 0
            }
        return self._pairs

    def _passage_lang(self, passage: str) -> str:
        """Language of a judged passage. One that the corpus lacks has the corpus's only language."""
        known = self.passages.get(passage)
        return known.lang if known else next(iter(self.passages.values())).lang

    def pool_langs(self, direction: Direction) -> set[str]:
        """The languages of a direction's pool."""
        if direction.passage_lang == ALL:
            return {passage.lang for passage in self.passages.values()}
        return set(direction.passage_lang.split("+"))

    def judged_queries(self, direction: Direction) -> Qrels:
        """The qrels of one direction: the queries that have a relevant passage in the pool, with their judgments.

        In a mixed pool, a query must have relevant passages in at least two languages. If the pool has the query's
        language, one of the relevant passages must be in it.
        """
        langs = self.pool_langs(direction)
        selected: Qrels = {}
        for query, judged in self.qrels.items():
            query_lang = self.queries[query].lang
            if query_lang != direction.query_lang:
                continue
            in_pool = {p: rel for p, rel in judged.items() if self._passage_lang(p) in langs}
            relevant_langs = {self._passage_lang(p) for p, rel in in_pool.items() if rel > 0}
            if not relevant_langs:
                continue
            if direction.mixed and (len(relevant_langs) < 2 or query_lang in langs - relevant_langs):
                continue
            selected[query] = in_pool
        return selected

    def pool(self, direction: Direction) -> list[Text]:
        """The passages that a direction searches, in the order of the corpus."""
        langs = self.pool_langs(direction)
        return [passage for passage in self.passages.values() if passage.lang in langs]

    def is_query_itself(self, query: str) -> bool:
        """Whether a query is a document of the corpus, with the same id and text (ArguAna has such)."""
        same = self.passages.get(query)
        return same is not None and text_key(same.full_text) == text_key(self.queries[query].full_text)

    @property
    def data_hash(self) -> str:
        """SHA-256 of all texts and judgments. Equal data have equal hashes, whatever the order in the files."""
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
    """A text that has translations. `x` in German gets the id `x@de` and the `parallel_id` `x`."""
    return Text(f"{parallel_id}@{lang}", text, lang, parallel_id=parallel_id)


def make_collection(
    name: str,
    passages: Iterable[Text],
    questions: Iterable[tuple[str, str, dict[str, str]]],
    split: str = "test",
) -> Collection:
    """Build a collection from questions that each have one relevant passage.

    Args:
        name: Name of the collection.
        passages: All passages.
        questions: For each question its id, the id of its passage, and its text by language.
        split: Name of the qrels file.

    Returns:
        A collection in which the query of question `x` in language `l` is `x@l`.
    """
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for question, passage, text_by_lang in questions:
        for lang, text in text_by_lang.items():
            query = parallel_text(question, lang, text)
            queries[query.id] = query
            qrels[query.id] = {passage: 1}
    return Collection(name, {passage.id: passage for passage in passages}, queries, qrels, split)


@dataclass(frozen=True)
class Asked:
    """A question as a row of parallel data asks it.

    Args:
        id: Of the row.
        english: The question in English.
        passage: Id of the passage that answers it.
        query: The question in the target language.
        lang: The target language.
    """

    id: str
    english: str
    passage: str
    query: str
    lang: str


def collect_questions(name: str, passages: Iterable[Text], rows: Iterable[Asked], split: str = "test") -> Collection:
    """Build a collection from rows of parallel data, in which a question is one question however many rows it has.

    Rows with one English text are one question: their passages are all relevant, and their target-language queries are
    its translations. Texts that differ by white space or Unicode normalization alone are one text.

    Args:
        name: Name of the collection.
        passages: All passages.
        rows: The rows that ask.
        split: Name of the qrels file.

    Returns:
        A collection in which the first row `x` of a question gives it the parallel id `x`. Its English query is
        `x@en`; a translation in language `l` that row `y` gives is `y@l`.
    """
    questions: dict[str, list[Asked]] = {}
    for row in rows:
        questions.setdefault(text_key(row.english), []).append(row)
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for asked in questions.values():
        first = asked[0]
        relevant = dict.fromkeys((row.passage for row in asked), 1)
        wordings = {("en", text_key(first.english)): parallel_text(first.id, "en", first.english)}
        for row in asked:
            query = Text(f"{row.id}@{row.lang}", row.query, row.lang, parallel_id=first.id)
            if not is_english(row.lang):
                wordings.setdefault((row.lang, text_key(row.query)), query)
        for query in wordings.values():
            queries[query.id] = query
            qrels[query.id] = dict(relevant)
    return Collection(name, {passage.id: passage for passage in passages}, queries, qrels, split)


def read_collection(folder: Path, split: str = "test", strict: bool = False) -> Collection:
    """Read a collection in BEIR's layout, see the module's description.

    What BEIR's data sets really hold is read as BEIR reads it, and counted in the collection's notes. A document may be
    empty; it stays in the pool. A judgment may name a query or a passage that does not exist. The query's is left out.
    A relevant passage that does not exist is a miss, because nobody can find it; in a corpus of several languages it is
    left out, because its language is not known. A query that is itself a document, with one id and text, is left out
    of its own ranking.

    Args:
        folder: Folder with `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each of them also with .gz.
        split: Which qrels file to read.
        strict: Make empty documents, and judgments that name what does not exist, an error.

    Returns:
        The collection. Its name is that of the folder; for a folder named `collection`, that of the folder above.
        Queries without a judgment are left out, as in BEIR.

    Raises:
        InputError: If a file is missing or empty, a query has no text, a passage has no text field, an id is used twice
            or contains white space, or no passage is judged relevant.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one with corpus.jsonl, queries.jsonl and qrels/{split}.tsv.")
    passages = _read_texts(or_packed(folder / "corpus.jsonl"), may_be_empty=not strict)
    queries = _read_texts(or_packed(folder / "queries.jsonl"), may_be_empty=False)
    path = or_packed(folder / "qrels" / f"{split}.tsv")
    qrels, missing = _read_qrels(path, passages, queries, strict)
    judged = {query: queries[query] for query in queries if query in qrels}
    # `clear-ir prepare` writes every collection to a folder named "collection", which says nothing of the data set.
    place = folder.resolve()
    name = place.parent.name if place.name == "collection" else place.name
    collection = Collection(name, passages, judged, qrels, split)
    empty = sum(not text.full_text for text in passages.values())
    themselves = sum(map(collection.is_query_itself, judged))
    counts = {
        "Empty passages, which stay in the pool": empty,
        "Judgments of queries that are not in queries.jsonl, left out": missing["query"],
        "Judgments of passages that are not in corpus.jsonl, misses where relevant": missing["passage"],
        "Judgments of passages that are not in corpus.jsonl, left out": missing["passage of no language"],
        "Queries that are passages themselves, each left out of its own ranking": themselves,
    }
    collection.notes = [f"{what}: {count}." for what, count in counts.items() if count]
    return collection


def check_id(text_id: str, what: str) -> None:
    """Refuse an id that a TREC run or qrels file cannot hold.

    Args:
        text_id: Of a query or a passage.
        what: What it is, to begin the error's sentence: where it stands and its column.

    Raises:
        InputError: If it holds white space.
    """
    if any(character.isspace() for character in text_id):
        raise InputError(f"{what} {text_id!r} contains white space, which TREC files do not allow; rename it.")


def write_collection(folder: Path, collection: Collection) -> None:
    """Write a collection in BEIR's layout, with `lang` and `parallel_id`.

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


def _read_texts(path: Path, may_be_empty: bool) -> dict[str, Text]:
    texts: dict[str, Text] = {}
    for where, record in read_jsonl(path):
        values = {name: text_of(record.get(name), f"{where}: {name!r}") for name in ("_id", "title", "text", "lang")}
        needed = ("_id",) if may_be_empty else ("_id", "text")
        for name in ("_id", "text"):
            if name not in record or (values[name] is None and name in needed):
                state = "null or empty" if name in record else f"missing among {', '.join(record)}"
                raise InputError(f"{where}: {name!r} is {state}; each line needs _id and text.")
        text_id = str(values["_id"])
        check_id(text_id, f"{where}: the _id")
        if text_id in texts:
            raise InputError(f"{where}: the _id {text_id!r} is used a second time; make ids unique.")
        text, title = (str(record[name]) if values[name] else "" for name in ("text", "title"))
        parallel_id = text_of(record.get("parallel_id"), f"{where}: 'parallel_id'") or text_id
        texts[text_id] = Text(text_id, text, values["lang"] or "en", title, parallel_id)
    return texts


def _read_qrels(
    path: Path, passages: dict[str, Text], queries: dict[str, Text], strict: bool
) -> tuple[Qrels, Counter[str]]:
    """The judgments, and how many name a query or a passage that does not exist."""
    several_langs = len({passage.lang for passage in passages.values()}) > 1
    qrels: Qrels = {}
    missing: Counter[str] = Counter()
    for where, query, passage, relevance in _judgments(path):
        if strict:
            for kind, text_id, known, name in (
                ("query", query, queries, "queries.jsonl"),
                ("passage", passage, passages, "corpus.jsonl"),
            ):
                if text_id not in known:
                    raise InputError(f"{where}: the {kind} {text_id!r} is not in {name}; add it or remove the line.")
        if query not in queries:
            missing["query"] += 1
        elif passage not in passages and several_langs:
            missing["passage of no language"] += 1
        else:
            missing["passage"] += passage not in passages
            qrels.setdefault(query, {})[passage] = relevance
    if not any(relevance > 0 for judged in qrels.values() for relevance in judged.values()):
        raise InputError(f"{path} judges no passage relevant; give at least one line with a score above 0.")
    return qrels, missing


def _judgments(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Each line of a qrels file: its place, query id, passage id and relevance."""
    if not path.exists():
        raise InputError(f"{path} does not exist; a collection needs its judgments there.")
    try:
        with open_bytes(path) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-1].strip() == "score"):
            continue
        where = f"{path}, line {number}"
        if len(fields) != 3 or not fields[2].strip().lstrip("-").isdigit():
            raise InputError(f"{where}: expected query-id, corpus-id and a whole number between tabs, found {line!r}.")
        yield where, fields[0], fields[1], int(fields[2])
