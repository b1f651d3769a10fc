"""How many human translations the checks of `clear-ir translate` reject, and how many faults made on purpose they find.

    python -m benchmarks.translation_checks --ntrex NTREX --xquad XQUAD --afriqa AFRIQA [--model MULTILINGUAL-E5-SMALL]

With `--model` also `--agreement`: the share of human translations that this encoder does not find similar, by language.
Its embeddings are cached.
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.machine import measured_with
from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_json
from clear_ir.encode.cache import default_cache
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.atlas import load_atlas
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.xquad import load_xquad
from clear_ir.translate.agreement import disagreeing
from clear_ir.translate.quality import CHECKS, judge

OUT = Path(__file__).parent / "results" / "translation-checks.json"
AFRIQA = ["ha", "ig", "rw", "sw", "zu"]
MOST_COMPARED = 400  # translations of a language that the encoder compares


class Pair(NamedTuple):
    """An English text, its human translation and the language."""

    source: str
    translation: str
    lang: str


def pairs_of(prepared: Prepared) -> list[Pair]:
    """All that was translated: rows, questions to test on, and sentences."""
    pairs = [Pair(row.query, row.cross_query, row.lang) for row in prepared.rows]
    pairs += [Pair(each.english, each.translation, each.lang) for each in prepared.translations]
    if prepared.rows and prepared.collection:
        pairs += questions_of(prepared.collection)
    return pairs


def questions_of(collection: Collection) -> list[Pair]:
    english = {query.parallel_id: query.text for query in collection.queries.values() if query.lang == "en"}
    others = [query for query in collection.queries.values() if query.lang != "en" and query.parallel_id in english]
    return [Pair(english[query.parallel_id], query.text, query.lang) for query in others]


def with_faults(pairs: list[Pair]) -> dict[str, Callable[[Pair], str]]:
    """Faults that translators make: each gives a bad translation of a pair."""
    chance = random.Random(0)
    by_source: dict[str, list[Pair]] = defaultdict(list)
    by_lang: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_source[pair.source].append(pair)
        by_lang[pair.lang].append(pair)

    def other_language(pair: Pair) -> str:
        others = [other for other in by_source[pair.source] if other.lang != pair.lang]
        return chance.choice(others or [other for other in pairs[:2000] if other.lang != pair.lang]).translation

    def other_digits(pair: Pair) -> str:
        return "".join(str((int(char) + 3) % 10) if char.isdecimal() else char for char in pair.translation)

    return {
        "the source itself": lambda pair: pair.source,
        "another language": other_language,
        "the first fifth alone": lambda pair: pair.translation[: len(pair.translation) // 5],
        "the last word ten times more": lambda pair: (
            f"{pair.translation} {' '.join(pair.translation.split()[-1:] * 10)}"
        ),
        "other digits": other_digits,
        "the translation of another text": lambda pair: chance.choice(by_lang[pair.lang]).translation,
    }


def measure(pairs: list[Pair]) -> dict[str, Any]:
    """Shares that are rejected: of the human translations, by check and by language, and of those with a fault."""
    total = Counter(pair.lang for pair in pairs)
    rejected = {check.name: Counter[str]() for check in CHECKS}
    for pair in pairs:
        if finding := judge(*pair):
            rejected[finding.check][pair.lang] += 1
    found = {}
    for name, make in with_faults(pairs).items():
        made = [(pair, make(pair)) for pair in pairs]
        made = [(pair, bad) for pair, bad in made if bad != pair.translation]
        found[name] = sum(judge(pair.source, bad, pair.lang) is not None for pair, bad in made) / len(made)
    return {
        "translations": len(pairs),
        "rejected": {name: sum(counts.values()) / len(pairs) for name, counts in rejected.items()},
        "rejected by language": {
            lang: {name: counts[lang] / count for name, counts in rejected.items() if counts[lang]}
            for lang, count in sorted(total.items())
        },
        "faults found": found,
    }


def agreement(pairs: list[Pair], encoder: TextEncoder) -> dict[str, float | None]:
    """By language the share of translations that the encoder finds not similar; None where it refuses to judge."""
    by_lang: dict[str, dict[str, str]] = defaultdict(dict)
    for pair in pairs:
        by_lang[pair.lang][pair.source] = pair.translation
    shares: dict[str, float | None] = {}
    for lang, translations in sorted(by_lang.items()):
        some = random.Random(0).sample(sorted(translations.items()), min(MOST_COMPARED, len(translations)))
        try:
            shares[lang] = len(disagreeing(dict(some), lang, encoder, "encoder")) / len(some)
        except InputError:
            shares[lang] = None
    return shares


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ntrex", type=Path, required=True, help="folder with NTREX")
    parser.add_argument("--xquad", type=Path, required=True, help="folder with xquad.en.json and one file a language")
    parser.add_argument("--afriqa", type=Path, required=True, help="folder with the gold passages of AfriQA")
    parser.add_argument("--model", help="multilingual encoder for agreement")
    parser.add_argument("--note", default="", help="what is to be said of the encoder beside its name")
    given = parser.parse_args()
    data = {
        "NTREX": pairs_of(load_ntrex(given.ntrex, ["all"])),
        "XQuAD": pairs_of(load_xquad(given.xquad, ["all"])),
        "AfriQA": pairs_of(load_afriqa(given.afriqa, AFRIQA)),
        "Atlas": pairs_of(load_atlas(["all"])),
    }
    document: dict[str, Any] = {"data": {name: measure(pairs) for name, pairs in data.items()}}
    if given.model:
        encoder = TextEncoder(load_encoder(given.model), cache=default_cache(), show_progress=False)
        questions = {name: pairs for name, pairs in data.items() if name != "NTREX"}
        document["agreement"] = {name: agreement(pairs, encoder) for name, pairs in questions.items()}
        document["note"] = given.note
    write_json(OUT, document | measured_with("py3langid"))
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
