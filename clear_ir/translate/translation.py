"""English rows in, parallel rows out: each distinct text is translated once, judged, and put into its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.translate.english_rows import EnglishRow
from clear_ir.translate.keeping import Keeper
from clear_ir.translate.store import Kept, Target, TranslationStore
from clear_ir.translate.translator import Translator

#: No bar is shown for this number of texts or fewer.
MAX_TEXTS_WITHOUT_BAR = 8

#: Finds bad translations: given translations by text and their language, the reasons by text against the bad ones. In a
#: reason, what stands after a colon is of that text alone; reasons are counted without it.
Judge = Callable[[Mapping[str, str], str], Mapping[str, str]]


@dataclass
class Rejected:
    """A translation that is not used.

    Args:
        text: The English text.
        translation: Its translation; empty if there is none.
        lang: The language.
        reason: Why it is not used.
        rows: Ids of the rows that have the text. If it is their query they are left out, if it is their passage they
            have no translated one.
        column: What the text is: `query` or `passage`.
    """

    text: str
    translation: str
    lang: str
    reason: str
    rows: list[str]
    column: Literal["query", "passage"] = "query"


@dataclass
class TranslatedRows:
    """What translation gave.

    Args:
        rows: The parallel rows, language by language, each in the order of the English rows.
        rejected: The translations that are not used.
        num_texts: Distinct texts by language.
        num_known: Those of them that an earlier run had translated, by language.
        num_passages: Distinct passages by language; empty if they were not translated.
    """

    rows: list[ParallelRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    num_texts: dict[str, int] = field(default_factory=dict)
    num_known: dict[str, int] = field(default_factory=dict)
    num_passages: dict[str, int] = field(default_factory=dict)

    def check_usable(self) -> None:
        """Refuse translations of which all are rejected.

        Raises:
            InputError: If there are no rows.
        """
        if not self.rows and self.rejected:
            first = self.rejected[0]
            raise InputError(
                f"None of the {len(self.rejected)} translations can be used; the first is {first.translation!r} for "
                f"{first.text!r} ({first.reason}); check what translates, and into which language."
            )

    def counts(self) -> dict[str, dict[str, Any]]:
        """By language: distinct texts, rows, and what was left out by reason; and the same of passages."""
        rows = Counter(row.lang for row in self.rows)
        translated = Counter(row.lang for row in self.rows if row.cross_passage)
        counts: dict[str, dict[str, Any]] = {
            lang: {"texts": count, "rows": rows[lang], "left out": self._reasons(lang, "query")}
            for lang, count in self.num_texts.items()
        }
        for lang, count in self.num_passages.items():
            counts[lang] |= {
                "passages": count,
                "rows with cross_passage": translated[lang],
                "passages left out": self._reasons(lang, "passage"),
            }
        return counts

    def _reasons(self, lang: str, column: str) -> dict[str, int]:
        """How often each reason came for the texts of a column."""
        of_column = [each for each in self.rejected if each.lang == lang and each.column == column]
        return dict(sorted(Counter(each.reason.partition(":")[0] for each in of_column).items()))


def translate_rows(
    rows: Sequence[EnglishRow],
    langs: Sequence[str],
    translator: Translator,
    store: TranslationStore,
    judge: Judge | None = None,
    show_progress: bool = True,
) -> TranslatedRows:
    """Translate the queries of rows into languages.

    Args:
        rows: The rows.
        langs: BCP 47 tags of the languages.
        translator: Translates.
        store: Keeps translations, and has those of earlier runs.
        judge: Finds bad translations. None: only those that the translator itself finds are left out.
        show_progress: Show a bar with rate and remaining time for each language.

    Returns:
        The parallel rows and what was left out. Ids are those of the English rows with the language added.

    Raises:
        InputError: If the translator cannot translate into a language, or fails.
    """
    translator.check(langs)
    made = TranslatedRows()
    texts = list(dict.fromkeys(row.query for row in rows))
    for lang in langs:
        found, num_known = translate_texts(texts, lang, translator, store, show_progress)
        made.num_texts[lang], made.num_known[lang] = len(texts), num_known
        good, rejected = judge_translations(found, texts, lang, judge)
        for row in rows:
            row_id = f"{row.id}-{lang}"
            if row.query in rejected:
                rejected[row.query].rows.append(row_id)
            else:
                queries = row.query, row.passage, row.passage_id, good[row.query], lang
                made.rows.append(ParallelRow(row_id, *queries, translated_by=translator.name))
        made.rejected += rejected.values()
    return made


def translate_passages(
    made: TranslatedRows,
    translator: Translator,
    store: TranslationStore,
    judge: Judge | None = None,
    show_progress: bool = True,
) -> None:
    """Translate the passages of parallel rows, too.

    A passage whose translation is bad stays in English: its rows have no `cross_passage`.

    Args:
        made: What `translate_rows` gave. Its rows get their `cross_passage`, and what was left out is added.
        translator: Translates.
        store: Keeps translations, and has those of earlier runs.
        judge: As for `translate_rows`.
        show_progress: Show a bar with rate and remaining time for each language.

    Raises:
        InputError: If the translator fails.
    """
    for lang in made.num_texts:
        texts = list(dict.fromkeys(row.passage for row in made.rows if row.lang == lang))
        found, _ = translate_texts(texts, lang, translator, store, show_progress, work="Translating passages")
        good, rejected = judge_translations(found, texts, lang, judge, "passage")
        made.num_passages[lang] = len(texts)
        for place, row in enumerate(made.rows):
            if row.lang != lang:
                continue
            if row.passage in rejected:
                rejected[row.passage].rows.append(row.id)
            else:
                made.rows[place] = replace(row, cross_passage=good[row.passage])
        made.rejected += rejected.values()


def judge_translations(
    found: Mapping[str, Kept],
    texts: Sequence[str],
    lang: str,
    judge: Judge | None,
    column: Literal["query", "passage"] = "query",
) -> tuple[dict[str, str], dict[str, Rejected]]:
    """Tell good translations from bad ones.

    Args:
        found: The translations by text.
        texts: The texts.
        lang: The language.
        judge: Finds bad translations. None: those that have a problem are bad.
        column: What the texts are.

    Returns:
        The good translations by text, and the bad ones by text, in the order of the texts and without rows yet.
    """
    reasons = {text: kept.problem for text, kept in found.items() if kept.problem}
    good = {text: kept.text for text, kept in found.items() if not kept.problem}
    reasons |= dict(judge(good, lang)) if judge else {}
    rejected = {
        text: Rejected(text, found[text].text, lang, reasons[text], [], column) for text in texts if text in reasons
    }
    return good, rejected


def translate_texts(
    texts: Sequence[str],
    lang: str,
    translator: Translator,
    store: TranslationStore,
    show_progress: bool = True,
    source: str = "en",
    work: str = "Translating",
) -> tuple[dict[str, Kept], int]:
    """Translate texts into one language, those that the store does not have.

    Args:
        texts: Distinct texts.
        lang: The language.
        translator: Translates.
        store: Gets each translation as soon as it is made. What was given up is not kept: the next run tries again.
        show_progress: Show a bar with rate and remaining time.
        source: The language of the texts.
        work: What the bar says.

    Returns:
        The translations by text, for every text, and how many of them the store had.

    Raises:
        InputError: If the translator fails, or a translation cannot be kept.
    """
    from tqdm.auto import tqdm

    target = Target(lang, translator.identity(lang), source)
    found = store.read(texts, target)
    num_known = len(found)
    missing = [text for text in texts if text not in found]
    is_hidden = len(missing) <= MAX_TEXTS_WITHOUT_BAR or not show_progress
    bar = tqdm(total=len(texts), initial=num_known, desc=f"{work} ({lang})", unit=" texts", disable=is_hidden)
    with bar, Keeper(store, target) as keeper:
        for number, translation in translator.translate(missing, lang, source) if missing else ():
            text = missing[number]
            translation = translation.strip()
            problem = translator.problems.get(text, "" if translation else "the translation is empty")
            found[text] = Kept(translation, problem)
            if translation:
                keeper.add(text, found[text])
            bar.update()
    for text in missing:
        found.setdefault(text, Kept("", translator.problems.get(text, "the translator gave nothing")))
    return found, num_known
