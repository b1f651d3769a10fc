"""Questions of two words in English, Swahili and German, on which a linear map has something to learn."""

from __future__ import annotations

import itertools

from clear_ir.data.collection import Collection, Text
from clear_ir.data.training_rows import TrainingRows, training_columns

ENGLISH = "river desert moon bread bank drum tree bird".split()
WORDS_OF = {
    "sw": dict(zip(ENGLISH, "mto jangwa mwezi mkate benki ngoma mti ndege".split(), strict=True)),
    "de": dict(zip(ENGLISH, "Fluss Wüste Mond Brot Gericht Vogel Baum wie".split(), strict=True)),
}
PAIRS = list(itertools.permutations(ENGLISH, 2))
QUESTION = {"en": "what is", "sw": "nani ni ya", "de": "was wo der die"}


def say(lang: str, *words: str) -> str:
    """Words in a language."""
    return " ".join(word if lang == "en" else WORDS_OF[lang][word] for word in words)


def question(lang: str, pair: tuple[str, str]) -> str:
    """A question on two words."""
    return f"{QUESTION[lang]} {say(lang, *pair)}"


def records(langs=("sw", "de")) -> list[dict[str, str]]:
    """Training rows without negatives; the passages are in English."""
    return [
        {
            "id": f"{lang}-{i}",
            "anchor": question("en", pair),
            "positive": f"the {say('en', *pair)} in light",
            "cross_anchor": question(lang, pair),
            "lang": lang,
        }
        for lang in langs
        for i, pair in enumerate(PAIRS)
    ]


def rows() -> TrainingRows:
    """The same as `TrainingRows`."""
    return TrainingRows(training_columns(0, 0), 0, 0, records())


def collection(passage_langs=("en",), query_langs=("en", "sw", "de")) -> Collection:
    """Every third question, with passages in some languages."""
    passages, queries, qrels = {}, {}, {}
    for i, pair in enumerate(PAIRS):
        for lang in passage_langs:
            passages[f"p{i}@{lang}"] = Text(f"p{i}@{lang}", f"{say(lang, *pair)} metal", lang, parallel_id=f"p{i}")
        for lang in query_langs if i % 3 == 0 else ():
            queries[f"q{i}@{lang}"] = Text(f"q{i}@{lang}", question(lang, pair), lang, parallel_id=f"q{i}")
            qrels[f"q{i}@{lang}"] = {f"p{i}@{other}": 1 for other in passage_langs}
    return Collection("words", passages, queries, qrels, "dev")
