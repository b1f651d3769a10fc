"""A run of alignment: texts in, a model folder out, if a map makes the encoder better."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clear_ir.align.by_language import MapsByLanguage, fit_by_language
from clear_ir.align.dev_scores import DevQuestions
from clear_ir.align.fitting import Choice, Fitted, Fold, choose_maps
from clear_ir.align.model_folder import ALIGN_FILE, check_alignable, write_aligned
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import FittingVectors, encode_for_fitting
from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError, hash_of
from clear_ir.data.output_files import hold_output
from clear_ir.data.rows import LabelledText, Translation
from clear_ir.data.splits import cross_folds
from clear_ir.data.training_rows import TrainingRows, collect_held_out, language_of
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder

#: With fewer dev questions the best map may be the luckiest.
FEW_DEV_QUESTIONS = 50
#: Of a part of the rows, no more than about this many are asked: every setting that is tried searches them all.
MOST_HELD_OUT = 2000


@dataclass(frozen=True)
class AlignmentTexts:
    """What maps are fitted on.

    Args:
        rows: Parallel rows or training rows: their queries, in English and in the target language, are pairs.
        translations: More pairs.
        texts: Texts with their languages, for the means of the languages.
        dev: The collection to choose by. None: each part of the rows is held out once.
    """

    rows: TrainingRows | None = None
    translations: Sequence[Translation] = ()
    texts: Sequence[LabelledText] = ()
    dev: Collection | None = None

    @cached_property
    def pairs(self) -> list[Translation]:
        """What maps are fitted on in the end: the queries of all rows with their translations, and more pairs."""
        return self._pairs(self.rows.records if self.rows else [])

    @cached_property
    def passages(self) -> list[str]:
        """The English passages of all rows."""
        return [row["positive"] for row in self.rows.records] if self.rows else []

    def splits(self, settings: AlignSettings) -> Iterator[tuple[list[Translation], list[str], Collection]]:
        """Pairs and passages to fit on, and a collection to choose by: the one given, or one for each part of the rows.

        Raises:
            InputError: If there is nothing to choose by.
        """
        if self.dev is not None:
            yield self.pairs, self.passages, self.dev
            return
        if self.rows is None:
            raise InputError(
                "There is nothing to choose by; give a dev collection, or rows to hold out.", "data", "rows"
            )
        records = self.rows.records
        folds = cross_folds(
            records, settings.folds, settings.seed, lambda row: (row["positive"], row["anchor"]), MOST_HELD_OUT
        )
        if not all(kept and held_out for kept, held_out in folds):
            raise InputError(
                f"The rows have too few passages and questions to split them into {settings.folds} parts; give more "
                "rows, or a dev collection.",
                "rows",
                "data",
            )
        for kept, held_out in folds:
            yield self._pairs(kept), [row["positive"] for row in kept], collect_held_out(records, held_out)

    def _pairs(self, records: Sequence[Mapping[str, str]]) -> list[Translation]:
        pairs = [Translation(row["anchor"].strip(), row["cross_anchor"].strip(), language_of(row)) for row in records]
        return [*pairs, *self.translations]


@dataclass(frozen=True)
class Alignment:
    """What came of a run.

    Args:
        choice: What was tried.
        fitted: The maps of the model folder; None if no folder was written, because no map was better than the base.
        num_questions: How many dev questions chose.
        by_language: Maps for queries whose language is known; None without pairs.
        counts: Texts that maps were fitted on, by language.
    """

    choice: Choice
    fitted: Fitted | None
    num_questions: int
    by_language: MapsByLanguage | None = None
    counts: dict[str, int] = field(default_factory=dict)


def encode_folds(
    encoder: TextEncoder, texts: AlignmentTexts, settings: AlignSettings
) -> tuple[FittingVectors, list[Fold]]:
    """Encode what maps are fitted on, and what they are chosen by.

    Args:
        encoder: The encoder before alignment.
        texts: To fit on and to choose by.
        settings: `folds` and `seed`.

    Returns:
        The vectors of all texts, and the folds.

    Raises:
        InputError: If there is nothing to choose by.
    """
    parts = list(texts.splits(settings))
    with TemporaryDirectory() as scratch:
        # The folds have texts in common, which are encoded once, also where no cache is wanted.
        encoder = replace(encoder, cache=encoder.cache or Path(scratch))
        vectors = encode_for_fitting(encoder, texts.pairs, texts.texts, texts.passages)
        folds = [
            Fold(
                encode_for_fitting(encoder, pairs, texts.texts, passages) if texts.dev is None else vectors,
                DevQuestions(encoder, dev),
            )
            for pairs, passages, dev in parts
        ]
    return vectors, folds


def align_model(
    model_name: str,
    texts: AlignmentTexts,
    settings: AlignSettings,
    encoding: EncodingSettings,
    out: Path,
    *,
    overwrite: bool = False,
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Alignment:
    """Align an encoder and write a model folder, if a map makes it better.

    Args:
        model_name: The encoder, see `clear_ir.encode.model_loading.load_encoder`.
        texts: To fit on and to choose by.
        settings: See `AlignSettings`. With the method `auto` no folder is written where no map is better than the base.
        encoding: How texts are encoded.
        out: The model folder to make. It also holds `align.json` and `align.safetensors`.
        overwrite: Replace an earlier aligned model in `out`.
        trust_remote_code: Run Python code that comes with the model.
        report: Called with the name of each method before it is tried.

    Returns:
        What was tried and what was chosen.

    Raises:
        InputError: If the folder is taken, the encoder cannot be aligned, or the texts do not suffice.
    """
    with hold_output(out, ALIGN_FILE, overwrite):
        model = load_encoder(model_name, trust_remote_code)
        check_alignable(model)
        encoder = TextEncoder.from_settings(model, encoding)
        vectors, folds = encode_folds(encoder, texts, settings)
        choice = choose_maps(vectors, folds, settings, report)
        fitted = choice.best if settings.method == "auto" else choice.tried[0]
        by_language = fit_by_language(vectors, folds, settings)
        collections = [fold.dev.collection for fold in folds]
        num_questions = sum(fold.dev.num_questions for fold in folds)
        facts = (num_questions, by_language, dict(vectors.counts))
        if fitted is choice.base:
            return Alignment(choice, None, *facts)
        record: dict[str, Any] = {
            "clear-ir": version("clear-ir"),
            "base": model_name,
            "base_hash": encoder.weights_hash,
            "settings": settings.model_dump(),
            "texts_by_language": dict(vectors.counts),
            "pairs_hash": hash_of(*itertools.chain.from_iterable(map(astuple, texts.pairs))),
            "passages_hash": hash_of(*texts.passages),
            "texts_hash": hash_of(*(part for text in texts.texts for part in (text.text, text.lang))),
            "data": collections[0].name,
            "data_hash": hash_of(*hashes) if len(hashes := [of.data_hash for of in collections]) > 1 else hashes[0],
            "dev_questions": num_questions,
        }
        write_aligned(out, model, fitted, choice, by_language, record, overwrite)
    return Alignment(choice, fitted, *facts)
