"""The bridge to mteb: its tasks evaluated by direction, our encoders and collections in its own terms.

mteb is an extra and takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clear_ir.data.collection import Collection
from clear_ir.data.directions import parse_direction
from clear_ir.data.files import InputError, check_new, new_folder, write_json
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.mteb_tasks import code_of, direction_in, langscript_of, load_mteb, select_tasks
from clear_ir.evaluate.results import MTEB_FILE

#: Our measures by mteb's names.
MTEB_MEASURES = {"nDCG@10": "ndcg_at_10", "R@10": "recall_at_10", "R@100": "recall_at_100"}


def evaluate_mteb(
    name: str,
    encoder: TextEncoder,
    tasks: Sequence[str],
    out: Path,
    langs: Sequence[str] | None = None,
    split: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Evaluate an encoder on retrieval tasks of mteb, and write what mteb found.

    mteb's own cache of results is not used: it takes all local checkpoints for one.

    Args:
        name: The model's name in the results.
        encoder: What is evaluated.
        tasks: Names of tasks, such as ``BelebeleRetrieval``.
        out: Folder to make: ``<task>.json`` as mteb writes it, and ``mteb.json``, the scores by direction.
        langs: Keep the subsets in which all languages are among these; None keeps every subset. ``de``, ``deu``
            and ``deu_Latn`` mean the same.
        split: Evaluate only this split; None takes all that mteb evaluates.
        overwrite: Replace earlier results of mteb in ``out``.

    Returns:
        One entry for each task, split and subset, as in ``mteb.json``.

    Raises:
        InputError: If mteb is missing, a task is unknown or is no retrieval task for text, a language is in none,
            data cannot be loaded, or ``out`` is taken.
    """
    check_new(out, MTEB_FILE, overwrite)
    chosen = select_tasks(tasks, langs, split)
    mteb = load_mteb("Evaluating its tasks")
    from datasets.utils import logging as bars

    for task in chosen:
        try:
            task.load_data()
        except Exception as error:  # whatever its loader and the hub's client may raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"The data of {task.metadata.name} cannot be loaded: {reason.rstrip('.')}; mteb fetches "
                f"{task.metadata.dataset['path']} from the Hugging Face hub, so run it once with a network."
            ) from error
    model = as_mteb_model(encoder, name)
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # one for every subset, done at once
    try:
        settings: dict[str, Any] = {"show_progress_bar": False}
        found = mteb.evaluate(model, chosen, cache=None, co2_tracker=False, encode_kwargs=settings).task_results
    finally:
        if shown:
            bars.enable_progress_bar()
    names = {code_of(lang): lang for lang in langs or [] if lang.isalpha()}
    entries = [entry for task, result in zip(chosen, found, strict=True) for entry in _entries(task, result, names)]
    meta = model.mteb_model_meta
    document = {"model_name": meta.name, "model_revision": meta.revision, "mteb_version": mteb.__version__}
    with new_folder(out, MTEB_FILE, overwrite) as partial:
        for result in found:
            result.to_disk(partial / f"{result.task_name}.json")
        write_json(partial / MTEB_FILE, document | {"scores": entries})
    return entries


def _entries(task: Any, result: Any, names: dict[str, str]) -> Iterable[dict[str, Any]]:
    for split, scores in result.scores.items():
        for score in scores:
            direction = direction_in(task.metadata, score["hf_subset"], names)
            yield {
                "task": result.task_name,
                "split": split,
                "subset": score["hf_subset"],
                "direction": str(direction) if direction else None,
                "main_score": score["main_score"],
                **{ours: score[theirs] for ours, theirs in MTEB_MEASURES.items()},
            }


def as_mteb_model(encoder: TextEncoder, name: str) -> Any:
    """Dress an encoder for ``mteb.evaluate``, with a name and revision that are its own.

    mteb's cache of results goes by name and revision, which all local checkpoints share if mteb is given the bare
    encoder; here the revision is the hash of the weights. Texts are encoded as in all our evaluations: with the
    model's own prompts for queries and passages, each distinct text of a list once.

    Args:
        encoder: The encoder.
        name: Its name; ``local/`` goes before one without a slash, which mteb requires.

    Returns:
        A model for ``mteb.evaluate``.

    Raises:
        InputError: If mteb is missing.
    """
    load_mteb("A model for it")
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ScoringFunction
    from mteb.types import PromptType

    sentence_transformer = encoder.model
    described = {
        "name": name if "/" in name else f"local/{name}",
        "revision": encoder.weights_hash,
        "similarity_fn_name": ScoringFunction.from_str(str(sentence_transformer.similarity_fn_name)),
        "embed_dim": sentence_transformer.get_embedding_dimension(),
        "max_tokens": sentence_transformer.max_seq_length,
        "framework": ["Sentence Transformers", "PyTorch"],
    }

    class Encoder(AbsEncoder):
        mteb_model_meta = ModelMeta.create_empty(overwrites=described)
        model = sentence_transformer

        def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> Any:
            texts = [text for batch in inputs for text in batch["text"]]
            return encoder.encode(texts, "query" if prompt_type == PromptType.query else "passage")

    return Encoder()


def as_mteb_task(collection: Collection) -> Any:
    """A collection as a task of mteb, one subset for each direction, named as we name it (``q-de.p-en``).

    Args:
        collection: The collection; its data hash becomes the revision of the task's data.

    Returns:
        A task for ``mteb.evaluate``; ``task.filter_languages(None, hf_subsets=["q-de.p-en"])`` cuts it down.

    Raises:
        InputError: If mteb is missing.
    """
    load_mteb("A task for it")
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    described = TaskMetadata(
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
        metadata = described

        def load_data(self, *_: Any, **__: Any) -> None:
            if self.data_loaded:
                return
            self.dataset = {}
            pools: dict[str, Dataset] = {}
            for subset in self.hf_subsets:
                direction = parse_direction(subset)
                lang, judged = direction.passage_lang, collection.judged(direction)
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
