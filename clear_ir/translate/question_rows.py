"""Passages in, parallel rows out: questions are written, and those that are repeated, bad or not found are left out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from clear_ir.data.collection import Text
from clear_ir.data.collection_files import check_id
from clear_ir.data.corpus import read_corpus
from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english
from clear_ir.data.rows import ParallelRow
from clear_ir.data.texts import passage_id_of, text_key
from clear_ir.translate.passage_ranks import PassageRanks
from clear_ir.translate.question_writer import QuestionWriter, questions_of
from clear_ir.translate.settings import QuerySettings
from clear_ir.translate.store import TranslationStore
from clear_ir.translate.translation import Judge, Rejected, TranslatedRows, translate_texts


def read_passages(path: Path, notes: list[str]) -> list[Text]:
    """Read the English passages of a file or a collection, each distinct text once.

    Args:
        path: See `clear_ir.data.corpus.read_corpus`.
        notes: Gets sentences on what was left out.

    Returns:
        The passages, each with an id.

    Raises:
        InputError: If the file cannot be read, holds no English passage, or uses an id twice.
    """
    passages: dict[str, Text] = {}
    keys: set[str] = set()
    left_out = dict.fromkeys(("empty", "not English", "with the text of an earlier one"), 0)
    for passage in read_corpus(path, "passages"):
        key = text_key(passage.full_text)
        if not key:
            left_out["empty"] += 1
        elif not is_english(passage.lang):
            left_out["not English"] += 1
        elif key in keys:
            left_out["with the text of an earlier one"] += 1
        else:
            keys.add(key)
            passage_id = passage.id or passage_id_of(key)
            check_id(passage_id, f"{path}: the id of a passage")
            if passage_id in passages:
                raise InputError(f"{path} uses the id {passage_id!r} for two passages; make ids unique.", "passages")
            passages[passage_id] = Text(passage_id, passage.full_text, "en")
    if not passages:
        raise InputError(f"{path} holds no English passage; questions are written for English ones.", "passages")
    notes += [f"Passages left out, {why}: {count:,}." for why, count in left_out.items() if count]
    return list(passages.values())


def write_questions(
    passages: Sequence[Text],
    langs: Sequence[str],
    writer: QuestionWriter,
    store: TranslationStore,
    settings: QuerySettings,
    judge: Judge | None = None,
    ranks: PassageRanks | None = None,
    show_progress: bool = True,
) -> TranslatedRows:
    """Write questions for passages in each language.

    Args:
        passages: English passages with distinct ids and texts.
        langs: BCP 47 tags of the languages beside English.
        writer: Writes the questions.
        store: Keeps what was written, and has that of earlier runs.
        settings: How many passages, and how well each has to be found.
        judge: Finds questions that are not the same in both languages. None: they are not judged.
        ranks: Says where an encoder finds the passage of a question. None: that is not checked.
        show_progress: Show bars.

    Returns:
        A parallel row for each question that is kept, and what was left out with the reason.

    Raises:
        InputError: If the endpoint fails, or no question is kept.
    """
    chosen = _draw(passages, settings)
    made = TranslatedRows()
    for lang in langs:
        texts = [passage.text for passage in chosen]
        written, num_known = translate_texts(texts, lang, writer, store, show_progress, work="Writing questions")
        made.num_texts[lang], made.num_known[lang] = len(texts), num_known
        rows: list[ParallelRow] = []
        for passage in chosen:
            kept = written[passage.text]
            if kept.problem:
                made.rejected.append(Rejected(passage.text, "", lang, f"no question: {kept.problem}", []))
            else:
                rows += _rows_of(passage, questions_of(kept.text), lang, writer.name)
        reasons = _faults(rows, judge) if judge else {}
        if ranks:
            reasons |= _not_found([row for row in rows if row.id not in reasons], ranks, settings.top_k)
        # Last: what another check leaves out takes nothing from a later question.
        reasons |= _repeated([row for row in rows if row.id not in reasons])
        made.rows += [row for row in rows if row.id not in reasons]
        made.rejected += [
            Rejected(row.query, row.cross_query, lang, reasons[row.id], [row.id]) for row in rows if row.id in reasons
        ]
    if not made.rows:
        raise InputError(
            f"No question can be used; the first was left out because: {made.rejected[0].reason}; check the model, the "
            "prompt and the encoder.",
            "model",
        )
    return made


def _draw(passages: Sequence[Text], settings: QuerySettings) -> list[Text]:
    """The passages to write questions for, in their order."""
    if settings.num_passages is None or settings.num_passages >= len(passages):
        return list(passages)
    drawn = random.Random(settings.seed).sample(range(len(passages)), settings.num_passages)
    return [passages[number] for number in sorted(drawn)]


def _rows_of(passage: Text, questions: Sequence[tuple[str, str]], lang: str, made_by: str) -> Iterator[ParallelRow]:
    for number, (english, other) in enumerate(questions, start=1):
        row_id = f"{passage.id}-{lang}-{number}"
        yield ParallelRow(row_id, english, passage.text, passage.id, other, lang, translated_by=made_by)


def _faults(rows: Sequence[ParallelRow], judge: Judge) -> dict[str, str]:
    """By id of a row, why its two questions are not the same."""
    judged = {row.id: judge({row.query: row.cross_query}, row.lang) for row in rows}
    return {row.id: judged[row.id][row.query] for row in rows if judged[row.id]}


def _repeated(rows: Sequence[ParallelRow]) -> dict[str, str]:
    """By id of a row, why its question cannot be told from an earlier one."""
    first: dict[tuple[str, str], str] = {}
    reasons = {}
    for row in rows:
        keys = [(side, _bare(text)) for side, text in (("en", row.query), (row.lang, row.cross_query))]
        known = [first[key] for key in keys if key in first]
        if known:
            reasons[row.id] = f"repeated: it is that of {known[0]}"
        else:
            first |= dict.fromkeys(keys, row.id)
    return reasons


def _bare(question: str) -> str:
    return text_key(question).casefold().rstrip(" ?.!？。؟")


def _not_found(rows: Sequence[ParallelRow], ranks: PassageRanks, top_k: int) -> dict[str, str]:
    """By id of a row, at which rank the encoder finds its passage, if that is too low."""
    found = ranks.of([row.query for row in rows], [row.passage for row in rows])
    return {
        row.id: f"not found: its passage has rank {rank:,}"
        for row, rank in zip(rows, found, strict=True)
        if rank > top_k
    }
