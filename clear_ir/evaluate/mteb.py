"""The bridge to mteb: its tasks by our languages and directions, our encoders and collections as its objects.

mteb is an extra and takes seconds to import, so each function imports it where it needs it. Inside this module
`import mteb` is the library: imports are absolute.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from clear_ir.data.collection import Collection
from clear_ir.data.directions import Direction, parse_direction
from clear_ir.data.files import InputError, reason_of
from clear_ir.data.languages import language_tag
from clear_ir.data.output_files import check_new, new_folder, write_json
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.measures import mteb_measures
from clear_ir.evaluate.results import MTEB_FILE

#: Which side mteb's metadata name first where a subset has two languages. docs/mteb.md says how each was checked.
PASSAGE_FIRST = ("BelebeleRetrieval", "MLQARetrieval", "XPQARetrieval")
QUERY_FIRST = ("CUREv1", "mFollowIRCrossLingual")


def evaluate_mteb(
    name: str,
    encoder: TextEncoder,
    tasks: Sequence[str],
    out: Path,
    langs: Sequence[str] | None = None,
    split: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Evaluate an encoder on retrieval tasks of mteb, and write mteb's results.

    mteb's cache of results is not used, because it cannot tell one local checkpoint from another.

    Args:
        name: The model's name in the results.
        encoder: What is evaluated.
        tasks: Names of tasks, such as `BelebeleRetrieval`.
        out: Folder to make, with `<task>.json` as mteb writes it, and `mteb.json`, the scores by direction.
        langs: Evaluate only the subsets in which all languages are among these; None takes every subset. `de`,
            `deu` and `deu_Latn` mean the same.
        split: Evaluate only this split; None takes every split that mteb evaluates.
        overwrite: Replace earlier results of mteb in `out`.

    Returns:
        One entry for each task, split and subset, as in `mteb.json`.

    Raises:
        InputError: If mteb is missing, a task is unknown or is no retrieval task for text, a language is in none,
            data cannot be loaded, or `out` is taken.
    """
    check_new(out, MTEB_FILE, overwrite)
    chosen = select_tasks(tasks, langs, split)
    mteb = load_mteb("Evaluating its tasks")
    from datasets.utils import logging as bars

    for task in chosen:
        try:
            task.load_data()
        except Exception as error:  # whatever its loader and the hub's client may raise
            reason = reason_of(error)
            raise InputError(
                f"The data of {task.metadata.name} cannot be loaded: {reason.rstrip('.')}; mteb fetches "
                f"{task.metadata.dataset['path']} from the Hugging Face hub, so run it once with a network."
            ) from error
    model = as_mteb_model(encoder, name)
    bars_were_shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # there would be a bar for every subset, and each ends at once
    try:
        settings: dict[str, Any] = {"show_progress_bar": False}
        results = mteb.evaluate(model, chosen, cache=None, co2_tracker=False, encode_kwargs=settings).task_results
    finally:
        if bars_were_shown:
            bars.enable_progress_bar()
    entries = [entry for task, result in zip(chosen, results, strict=True) for entry in _entries(task, result)]
    meta = model.mteb_model_meta
    document = {"model_name": meta.name, "model_revision": meta.revision, "mteb_version": mteb.__version__}
    with new_folder(out, MTEB_FILE, overwrite) as partial:
        for result in results:
            result.to_disk(partial / f"{result.task_name}.json")
        write_json(partial / MTEB_FILE, document | {"scores": entries})
    return entries


def _entries(task: Any, result: Any) -> Iterable[dict[str, Any]]:
    for split, scores in result.scores.items():
        for score in scores:
            direction = direction_in(task.metadata, score["hf_subset"])
            yield {
                "task": result.task_name,
                "split": split,
                "subset": score["hf_subset"],
                "direction": str(direction) if direction else None,
                "main_score": score["main_score"],
                **{ours: score[theirs] for ours, theirs in mteb_measures().items()},
            }


def as_mteb_model(encoder: TextEncoder, name: str) -> Any:
    """An encoder as a model for `mteb.evaluate`, with its hash as revision.

    mteb's cache of results tells models apart by name and revision. All local checkpoints share both if mteb is given
    a plain SentenceTransformer; here the revision is the hash of the weights. Texts are encoded as in all our
    evaluations: with the model's prompts for queries and passages, each distinct text of a list once.

    Args:
        encoder: The encoder.
        name: Its name. mteb requires a slash, so a name without one becomes `local/NAME`.

    Returns:
        A model for `mteb.evaluate`.

    Raises:
        InputError: If mteb is missing.
    """
    load_mteb("A model for it")
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ScoringFunction
    from mteb.types import PromptType

    sentence_transformer = encoder.model
    meta = {
        "name": name if "/" in name else f"local/{name}",
        "revision": encoder.weights_hash,
        "similarity_fn_name": ScoringFunction.from_str(str(sentence_transformer.similarity_fn_name)),
        "embed_dim": sentence_transformer.get_embedding_dimension(),
        "max_tokens": sentence_transformer.max_seq_length,
        "framework": ["Sentence Transformers", "PyTorch"],
    }

    class Encoder(AbsEncoder):
        mteb_model_meta = ModelMeta.create_empty(overwrites=meta)
        model = sentence_transformer

        def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> Any:
            texts = [text for batch in inputs for text in batch["text"]]
            return encoder.encode(texts, "query" if prompt_type == PromptType.query else "passage")

    return Encoder()


def as_mteb_task(collection: Collection) -> Any:
    """A collection as a task of mteb, one subset for each direction, named as we name it (`q-de.p-en`).

    Args:
        collection: The collection; its data hash becomes the revision of the task's data.

    Returns:
        A task for `mteb.evaluate`. `task.filter_languages(None, hf_subsets=["q-de.p-en"])` selects one direction.

    Raises:
        InputError: If mteb is missing.
    """
    load_mteb("A task for it")
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    task_metadata = TaskMetadata(
        name=collection.name,
        description=f"The collection {collection.name}, every pair of languages.",
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        dataset={"path": f"clear-ir/{collection.name}", "revision": collection.data_hash},
        eval_splits=[collection.split],
        eval_langs={
            str(d): [langscript_of(d.query_lang), langscript_of(d.passage_lang)] for d in collection.directions
        },
        main_score="ndcg_at_10",
    )

    class CollectionTask(AbsTaskRetrieval):
        metadata = task_metadata

        def load_data(self, *_: Any, **__: Any) -> None:
            if self.data_loaded:
                return
            self.dataset = {}
            pools: dict[str, Dataset] = {}
            for subset in self.hf_subsets:
                direction = parse_direction(subset)
                lang, judged = direction.passage_lang, collection.judged_queries(direction)
                if lang not in pools:
                    texts = [{"id": text.id, "text": text.full_text} for text in collection.pool(direction)]
                    pools[lang] = Dataset.from_list(texts)
                queries = [{"id": query, "text": collection.queries[query].full_text} for query in judged]
                self.dataset[subset] = {
                    collection.split: {
                        "corpus": pools[lang],
                        "queries": Dataset.from_list(queries),
                        "relevant_docs": judged,
                        "top_ranked": None,
                    }
                }
            self.data_loaded = True

    return CollectionTask()


def select_tasks(names: Sequence[str], langs: Sequence[str] | None = None, split: str | None = None) -> list[Any]:
    """Tasks of mteb, with only the subsets in some languages.

    Args:
        names: Names of tasks.
        langs: See `evaluate_mteb`.
        split: See `evaluate_mteb`.

    Returns:
        Tasks for `mteb.evaluate`.

    Raises:
        InputError: If a task or its split is unknown, it is no retrieval task for text, or nothing of it is in the
            languages.
    """
    mteb = load_mteb("Evaluating its tasks")
    asked_for = {code_of(lang): lang for lang in langs or []}
    tasks, langs_of_tasks = [], set()
    for name in dict.fromkeys(names):
        metadata = _metadata(name)
        if split and split not in metadata.eval_splits:
            raise InputError(f"{name} has no split {split!r}; choose among {', '.join(metadata.eval_splits)}.")
        codes_by_subset = {
            subset: {code_of(lang) for lang in langscripts}
            for subset, langscripts in metadata.hf_subsets_to_langscripts.items()
        }
        langs_of_task = set().union(*codes_by_subset.values())
        langs_of_tasks |= langs_of_task
        subsets = [subset for subset, codes in codes_by_subset.items() if not asked_for or codes <= asked_for.keys()]
        if not subsets:
            raise InputError(
                f"{name} has no subset within the languages {', '.join(asked_for.values())}; it has "
                f"{_abridged(langs_of_task)}."
            )
        tasks.append(mteb.get_task(name, hf_subsets=subsets, eval_splits=[split] if split else None))
    if missing := [lang for code, lang in asked_for.items() if code not in langs_of_tasks]:
        raise InputError(f"{', '.join(missing)}: in none of {', '.join(names)}; they have {_abridged(langs_of_tasks)}.")
    return tasks


def _abridged(names: Iterable[str], most: int = 20) -> str:
    """The first names in alphabetical order, and how many more there are."""
    in_order = sorted(names)
    rest = f" and {len(in_order) - most} more" if len(in_order) > most else ""
    return ", ".join(in_order[:most]) + rest


def _metadata(name: str) -> Any:
    mteb = load_mteb("Evaluating its tasks")
    from mteb.abstasks import AbsTaskRetrieval

    try:
        task = mteb.get_task(name)
    except KeyError:
        known = [other.metadata.name for other in mteb.get_tasks(task_types=["Retrieval"])]
        lowered = {other.lower(): other for other in known}
        similar = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
        containing = [other for other in known if name.lower() in other.lower() and other not in similar]
        similar += containing[: 3 - len(similar)]
        hint = f"near it are {', '.join(similar)}" if similar else "mteb.get_tasks(task_types=['Retrieval']) lists them"
        raise InputError(f"mteb has no task {name!r}; {hint}.") from None
    if not isinstance(task, AbsTaskRetrieval) or set(task.metadata.modalities) != {"text"}:
        raise InputError(f"{name} is no retrieval task for text; choose one, or run it with mteb itself.")
    return task.metadata


def direction_of(task: str, subset: str) -> Direction | None:
    """Our direction for a subset of one of mteb's tasks.

    Args:
        task: The task's name.
        subset: The subset's name, `default` where the task has only one.

    Returns:
        The direction, with two-letter codes where a language has one, and the script if it is not the usual one
        (`zh-Hant`). None if a subset has two languages and it is not known on which side each is, or more.

    Raises:
        InputError: If mteb is missing, the task or its subset is unknown, or it is no retrieval task for text.
    """
    metadata = _metadata(task)
    if subset not in metadata.hf_subsets_to_langscripts:
        subsets = metadata.hf_subsets_to_langscripts
        similar = difflib.get_close_matches(subset, subsets, n=3, cutoff=0.5)
        hint = f"near it are {', '.join(similar)}" if similar else f"it has {_abridged(subsets, 5)}"
        raise InputError(f"{task} has no subset {subset!r}; {hint}.")
    return direction_in(metadata, subset)


def direction_in(metadata: Any, subset: str) -> Direction | None:
    """As `direction_of`, from a task's metadata.

    Args:
        metadata: Of the task.
        subset: One of its subsets.

    Returns:
        The direction, if it is known.
    """
    codes = [code_of(lang) for lang in metadata.hf_subsets_to_langscripts[subset]]
    first, last = codes[0], codes[-1]
    if len(set(codes)) == 1:
        return Direction(first, first)
    if metadata.name in PASSAGE_FIRST:
        return Direction(last, first)
    return Direction(first, last) if metadata.name in QUERY_FIRST else None


def load_mteb(what: str) -> Any:
    """Import mteb.

    Args:
        what: What needs it; the error's sentence begins with it.

    Returns:
        The module.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import mteb
    except ModuleNotFoundError as error:
        raise InputError(f"{what} needs mteb ({error.name} is missing); pip install 'clear-ir[mteb]'") from None
    return mteb


@lru_cache
def _language_data(name: str) -> dict[str, str]:
    from importlib.resources import files

    data: dict[str, str] = json.loads((files("mteb.languages") / f"{name}.json").read_text(encoding="utf-8"))
    return data


def code_of(lang: str) -> str:
    """Our tag of a language: `de` for `deu-Latn`. Programming languages, which mteb has too, keep their name."""
    base, _, script = lang.partition("-")
    return base if script == "Code" else language_tag(lang, "The language", "langs")


def langscript_of(lang: str) -> str:
    """Mteb's code of a language: `deu-Latn` for `de`; undetermined where mteb does not know it."""
    base, _, script = lang.replace("_", "-").partition("-")
    long = _language_data("iso_639_1_to_3").get(base, base)
    script = script or _language_data("iso_639_3_to_default_script").get(long, "")
    known = long in _language_data("iso_639_3_to_language") and script in _language_data("iso_15924_to_script")
    return f"{long}-{script}" if known else "und-Zyyy"
