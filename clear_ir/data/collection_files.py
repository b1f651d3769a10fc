"""Collections as files, in BEIR's layout.

    corpus.jsonl      {"_id", "title", "text", "lang"}
    queries.jsonl     {"_id", "text", "lang"}
    qrels/test.tsv    query-id, corpus-id, score, with a header line

`lang` and `parallel_id` are our additions to BEIR. `lang` is any code of a language: `deu_Latn` is read as `de`.
Without it a text is English, so a plain BEIR folder is all English. `parallel_id` is equal for translations of one
text. A text without it gets its `_id`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from clear_ir.data.collection import Collection, Qrels, Text
from clear_ir.data.files import InputError, or_packed, read_jsonl
from clear_ir.data.judgments import read_judgments
from clear_ir.data.languages import language_tag
from clear_ir.data.output_files import write_jsonl, write_text
from clear_ir.data.texts import text_key, text_of


def read_collection(folder: Path | str, split: str = "test", strict: bool = False) -> Collection:
    """Read a collection in BEIR's layout, see the module's description.

    What BEIR's data sets really hold is read as BEIR reads it, and counted in the collection's notes. A document may be
    empty; it stays in the pool. A judgment may name a query or a passage that does not exist. The query's is left out.
    A relevant passage that does not exist is a miss, because nobody can find it; in a corpus of several languages it is
    left out, because its language is not known. A query that is itself a document, with one id and text, is left out
    of its own ranking. A passage without a judgment that has the text of a relevant one, in the same language, is as
    relevant: finding either is right.

    Args:
        folder: Folder with `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, each of them also with .gz.
        split: Which qrels file to read.
        strict: Make empty documents, and judgments that name what does not exist, an error.

    Returns:
        The collection. Its name is that of the folder; for a folder named `collection`, that of the folder above.
        Queries without a judgment are left out, as in BEIR.

    Raises:
        InputError: If a file is missing or empty, a query has no text, a passage has no text field, an id is used twice
            or contains white space, a `lang` is no code of a language, or no passage is judged relevant.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one with corpus.jsonl, queries.jsonl and qrels/{split}.tsv.")
    passages = _read_texts(or_packed(folder / "corpus.jsonl"), may_be_empty=not strict)
    queries = _read_texts(or_packed(folder / "queries.jsonl"), may_be_empty=False)
    path = or_packed(folder / "qrels" / f"{split}.tsv")
    qrels, missing = _read_qrels(path, passages, queries, strict)
    same_text = _judge_same_texts(passages, qrels)
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
        "Judgments that contradict an earlier line, which they replace": missing["contradicting"],
        "Judgments added, of passages with the text of a relevant one": same_text,
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
        lang = language_tag(values["lang"], f"{where}: 'lang'") if values["lang"] else "en"
        texts[text_id] = Text(text_id, text, lang, title, parallel_id)
    return texts


def _read_qrels(
    path: Path, passages: dict[str, Text], queries: dict[str, Text], strict: bool
) -> tuple[Qrels, Counter[str]]:
    """The judgments, and how many name a query or a passage that does not exist."""
    several_langs = len({passage.lang for passage in passages.values()}) > 1
    qrels: Qrels = {}
    missing: Counter[str] = Counter()
    example = ""
    for where, query, passage, relevance in read_judgments(path):
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
            missing["contradicting"] += qrels.get(query, {}).get(passage, relevance) != relevance
            qrels.setdefault(query, {})[passage] = relevance
        example = example or (f"{where} has {query!r} and {passage!r}" if relevance > 0 else "")
    if not example:
        raise InputError(f"{path} judges no passage relevant; give at least one line with a score above 0.")
    if not any(r > 0 and passage in passages for judged in qrels.values() for passage, r in judged.items()):
        raise InputError(
            f"{path} judges no passage of corpus.jsonl relevant for a query of queries.jsonl; write ids as they are "
            f"there: {example}, but the first ids there are {next(iter(queries))!r} and {next(iter(passages))!r}."
        )
    return qrels, missing


def _judge_same_texts(passages: dict[str, Text], qrels: Qrels) -> int:
    """Judge passages as those that have their text and language. Texts that are equal by `text_key` are one.

    Args:
        passages: All passages, by id.
        qrels: The judgments, to which those of equal texts are added.

    Returns:
        How many were added.
    """
    relevant = {p for judged in qrels.values() for p, relevance in judged.items() if relevance > 0 and p in passages}
    # Only keys of relevant passages are kept, since a corpus may have millions.
    ids_of_key: dict[tuple[str, str], list[str]] = {_key(passages[p]): [] for p in relevant if passages[p].full_text}
    for passage in passages.values():
        if (ids := ids_of_key.get(_key(passage))) is not None:
            ids.append(passage.id)
    same_as = {p: [other for other in ids if other != p] for ids in ids_of_key.values() if len(ids) > 1 for p in ids}
    added = 0
    for judged in qrels.values():
        for passage_id, relevance in list(judged.items()):
            for other in same_as.get(passage_id, []) if relevance > 0 else []:
                added += other not in judged
                judged.setdefault(other, relevance)
    return added


def _key(passage: Text) -> tuple[str, str]:
    return passage.lang, text_key(passage.full_text)
