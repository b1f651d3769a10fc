"""A collection: corpus, queries and qrels, each text with its language; how rows of questions become one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from clear_ir.data.directions import ALL, Direction
from clear_ir.data.files import hash_of
from clear_ir.data.languages import is_english
from clear_ir.data.texts import text_key

Qrels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Text:
    """A query or passage.

    Args:
        id: Unique among the queries or among the passages, without white space.
        text: The text, without the title.
        lang: Language, as `clear_ir.data.languages.language_tag` writes it.
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


def translated_passage(passage_id: str, lang: str, text: str) -> Text:
    """The translation of a passage. That of `x`, or of `x@en`, into German gets the id `x@de`."""
    return Text(f"{passage_id.removesuffix('@en')}@{lang}", text, lang, parallel_id=passage_id)


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
    its translations. Translations of these passages are relevant too. Texts that differ by white space or Unicode
    normalization alone are one text.

    Args:
        name: Name of the collection.
        passages: All passages. The `parallel_id` of a translation is the id of the passage that it translates.
        rows: The rows that ask.
        split: Name of the qrels file.

    Returns:
        A collection in which the first row `x` of a question gives it the parallel id `x`. Its English query is
        `x@en`; a translation in language `l` that row `y` gives is `y@l`.
    """
    pool = {passage.id: passage for passage in passages}
    translations: dict[str, list[str]] = defaultdict(list)
    for passage in pool.values():
        if passage.parallel_id not in ("", passage.id):
            translations[passage.parallel_id].append(passage.id)
    questions: dict[str, list[Asked]] = {}
    for row in rows:
        questions.setdefault(text_key(row.english), []).append(row)
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    for asked in questions.values():
        first = asked[0]
        answers = dict.fromkeys(row.passage for row in asked)
        translated = (text for passage in answers for text in translations.get(passage, ()))
        relevant = dict.fromkeys([*answers, *translated], 1)
        wordings = {("en", text_key(first.english)): parallel_text(first.id, "en", first.english)}
        for row in asked:
            query = Text(f"{row.id}@{row.lang}", row.query, row.lang, parallel_id=first.id)
            if not is_english(row.lang):
                wordings.setdefault((row.lang, text_key(row.query)), query)
        for query in wordings.values():
            queries[query.id] = query
            qrels[query.id] = dict(relevant)
    return Collection(name, pool, queries, qrels, split)
