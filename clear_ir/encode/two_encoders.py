"""Two encoders in one model, one for queries and one for passages: a `Router` of sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clear_ir.data.files import InputError
from clear_ir.encode.adapters import with_merged_adapters
from clear_ir.encode.architecture import routers
from clear_ir.encode.model_loading import Side, prompt_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def side_of(model: SentenceTransformer, side: Side) -> SentenceTransformer:
    """The encoder of one side of a model, without routes.

    Args:
        model: The model.
        side: Queries or passages.

    Returns:
        The model itself if it has no routes. Else a model of the modules that texts of this side go through, with the
        same prompts and settings. It shares their weights.
    """
    if not routers(model):
        return model
    from sentence_transformers.base.modules import Router

    task = "query" if side == "query" else "document"
    modules: list[Any] = []
    for module in model.children():
        if isinstance(module, Router):
            route = module._resolve_route(task=task, modality="text")
            modules += module.sub_modules[route]  # type: ignore[index, arg-type]
        else:
            modules.append(module)
    return with_modules(model, modules, model.prompts)


def join_encoders(query_model: SentenceTransformer, passage_model: SentenceTransformer) -> SentenceTransformer:
    """One model out of two: `encode_query` is that of the first, `encode_document` that of the second.

    Weights that both have in common are not shared: in memory and in the saved folder there are two encoders. Adapters
    (LoRA) are added to the weights: sentence-transformers cannot load an adapter behind a route.

    Args:
        query_model: The encoder of queries. Of a model with routes, that of queries.
        passage_model: The encoder of passages. Of a model with routes, that of passages.

    Returns:
        A model with the routes `query` and `document`. Without either it encodes as passages. Prompts, similarity and
        maximum lengths are those of the sides.

    Raises:
        InputError: If the two compare in different ways, or their embeddings have different dimensions.
    """
    from sentence_transformers.base.modules import Router

    queries = with_merged_adapters(side_of(query_model, "query"))
    passages = with_merged_adapters(side_of(passage_model, "passage"))
    facts = [(str(side.similarity_fn_name), side.get_embedding_dimension()) for side in (queries, passages)]
    if facts[0] != facts[1]:
        said = [f"similarity {similarity}, {dim} dimensions" for similarity, dim in facts]
        raise InputError(
            f"The two encoders do not fit together: {said[0]} and {said[1]}; join an encoder and its base."
        )
    prompts = {**passages.prompts, "query": prompt_of(queries, "query"), "document": prompt_of(passages, "passage")}
    router = Router.for_query_document(list(queries.children()), list(passages.children()))  # type: ignore[arg-type]
    return with_modules(queries, [router], prompts, model_card_data=query_model.model_card_data)


def with_modules(
    model: SentenceTransformer, modules: list[Any], prompts: Mapping[str, Any], **options: Any
) -> SentenceTransformer:
    """A model of modules with another model's settings.

    Args:
        model: Has the settings: device, similarity, maximum length of its modules, whether it is training.
        modules: What texts go through. Their weights are shared.
        prompts: The prompts by name.
        options: For `SentenceTransformer`.
    """
    from sentence_transformers import SentenceTransformer

    made = SentenceTransformer(
        modules=modules,
        device=str(model.device),
        prompts=dict(prompts),
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
        truncate_dim=model.truncate_dim,
        **options,
    )
    return made.train(model.training)
