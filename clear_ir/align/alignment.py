"""A run of alignment: texts in, a model folder out, if a map makes the encoder better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clear_ir.align.by_language import MapsByLanguage, fit_by_language
from clear_ir.align.dev_scores import DevQuestions
from clear_ir.align.fitting import Choice, Fitted, choose_maps
from clear_ir.align.model_folder import ALIGN_FILE, check_alignable, write_aligned
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import encode_for_fitting
from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError, hash_of
from clear_ir.data.output_files import hold_output
from clear_ir.data.rows import LabelledText, Translation
from clear_ir.data.splits import hold_out
from clear_ir.data.training_rows import TrainingRows, collect_held_out, language_of
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder

#: With fewer dev questions the best map may be the luckiest.
FEW_DEV_QUESTIONS = 50


@dataclass(frozen=True)
class AlignmentTexts:
    """What maps are fitted on.

    Args:
        rows: Parallel rows or training rows: their queries, in English and in the target language, are pairs.
        translations: More pairs.
        texts: Texts with their languages, for the means of the languages.
        dev: The collection to choose by. None: a share of the rows is held out.
    """

    rows: TrainingRows | None = None
    translations: Sequence[Translation] = ()
    texts: Sequence[LabelledText] = ()
    dev: Collection | None = None

    def split(self, settings: AlignSettings) -> tuple[list[Translation], list[str], Collection]:
        """The pairs to fit on, the passages of these rows, and the collection to choose by.

        Raises:
            InputError: If there is nothing to choose by.
        """
        records = self.rows.records if self.rows else []
        dev = self.dev
        if dev is None:
            if not records:
                raise InputError(
                    "There is nothing to choose by; give a dev collection, or rows to hold out.", "data", "rows"
                )
            everything = records
            records, held_out = hold_out(
                records, settings.dev_share, settings.seed, lambda record: (record["positive"], record["anchor"])
            )
            dev = collect_held_out(everything, held_out)
        pairs = [Translation(row["anchor"].strip(), row["cross_anchor"].strip(), language_of(row)) for row in records]
        return [*pairs, *self.translations], [row["positive"] for row in records], dev


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
        pairs, passages, dev = texts.split(settings)
        model = load_encoder(model_name, trust_remote_code)
        check_alignable(model)
        encoder = TextEncoder.from_settings(model, encoding)
        vectors = encode_for_fitting(encoder, pairs, texts.texts, passages)
        questions = DevQuestions(encoder, dev)
        choice = choose_maps(vectors, questions, settings, report)
        fitted = choice.best if settings.method == "auto" else choice.tried[0]
        by_language = fit_by_language(vectors, questions, settings)
        facts = (questions.num_questions, by_language, dict(vectors.counts))
        if fitted is choice.base:
            return Alignment(choice, None, *facts)
        record: dict[str, Any] = {
            "clear-ir": version("clear-ir"),
            "base": model_name,
            "base_hash": encoder.weights_hash,
            "settings": settings.model_dump(),
            "texts_by_language": dict(vectors.counts),
            "pairs_hash": hash_of(*(part for pair in pairs for part in (pair.english, pair.translation, pair.lang))),
            "passages_hash": hash_of(*passages),
            "texts_hash": hash_of(*(part for text in texts.texts for part in (text.text, text.lang))),
            "data": dev.name,
            "data_hash": dev.data_hash,
            "dev_questions": questions.num_questions,
        }
        write_aligned(out, model, fitted, choice, by_language, record, overwrite)
    return Alignment(choice, fitted, *facts)
