"""The model card of every model folder that clear-ir writes. It has no text of the user's data unless asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from clear_ir.data.directions import ALL
from clear_ir.data.languages import UNKNOWN, describe_direction, english_name
from clear_ir.data.output_files import write_text
from clear_ir.encode.architecture import routers
from clear_ir.encode.known_prompts import as_list, head_of_card
from clear_ir.encode.model_loading import MINILM, MINILM_ON_THE_HUB, no_weight_bars, prompt_of
from clear_ir.encode.two_encoders import side_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CARD_FILE = "README.md"
#: Stands on the card for the name on the Hub, which a folder does not know.
PLACEHOLDER = "path/to/this/model"
TAG = "clear-ir"
#: What a card says of the licence in its head. The Hub knows these fields.
LICENCE_FIELDS = ("license", "license_name", "license_link")
SENTENCE_TRANSFORMERS = """
@inproceedings{reimers-2019-sentence-bert,
    title={Sentence-{BERT}: Sentence Embeddings using Siamese {BERT}-Networks},
    author={Reimers, Nils and Gurevych, Iryna},
    booktitle={Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing},
    year={2019},
    url={https://arxiv.org/abs/1908.10084}
}
"""


@dataclass(frozen=True)
class Verdict:
    """Scores on dev questions, nDCG@10 from 0 to 1 by direction.

    Args:
        base: Those of the base.
        adapted: Those of the model.
        on: What was asked, in sentences.
        data: Name of the data.
        revision: Hash of the data; None if they have none.
        intervals: By direction the 95 % interval of the change; empty if it was not computed.
    """

    base: Mapping[str, float]
    adapted: Mapping[str, float]
    on: str
    data: str
    revision: str | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Adaptation:
    """What a stage did to an encoder.

    Args:
        stage: `train`, `align` or `merge`.
        base: The encoder before it, as the user named it.
        method: What was done, in Markdown.
        settings: The settings of the stage.
        langs: Languages of the texts.
        data: What was used, a line each: counts, no texts.
        translated: Lines on queries that a translator made.
        verdict: What the dev questions say; None without any.
        samples: Rows to show. Their texts become public with the card.
        citations: BibTeX entries.
        adapted: Of a merged model, the encoder that was merged with the base.
    """

    stage: str
    base: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    langs: Sequence[str] = ()
    data: Sequence[str] = ()
    translated: Sequence[str] = ()
    verdict: Verdict | None = None
    samples: Sequence[Mapping[str, str]] = ()
    citations: Sequence[str] = ()
    adapted: str | None = None


def save_with_card(model: SentenceTransformer, folder: Path, made: Adaptation) -> None:
    """Save a model and its card.

    Args:
        model: The model.
        folder: The folder to make.
        made: What was done to the model.
    """
    with no_weight_bars():
        model.save_pretrained(str(folder), create_model_card=False)
    write_text(folder / CARD_FILE, render_card(model, made))


def render_card(model: SentenceTransformer, made: Adaptation) -> str:
    """The model card: a head that the Hub reads, and Markdown.

    Args:
        model: The model.
        made: What was done to it.

    Returns:
        The card. It is the same whenever and wherever the same is done.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    source = made.adapted or made.base  # whose card tells of the data before
    title = f"{_own_name(made.base)}, adapted across languages"
    head = _head(title, made)
    earlier = _earlier(source)
    cited = [*made.citations, *earlier.get("citations", "").split("\n\n"), SENTENCE_TRANSFORMERS]
    query = side_of(model, "query")
    length = query.max_seq_length
    prompts = {side: prompt_of(model, side) for side in ("query", "passage")}
    return (
        environment.get_template("model_card.md.jinja")
        .render(
            head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
            title=title,
            placeholder=PLACEHOLDER,
            version=version("clear-ir"),
            base=_described(made.base),
            made=made,
            samples=[json.dumps(sample, ensure_ascii=False) for sample in made.samples],
            languages=", ".join(_names(_langs(made))) or "not known",
            dim=model.get_embedding_dimension(),
            similarity=model.similarity_fn_name,
            max_length=f"{length:,.0f} tokens" if length and length < 10**9 else "no limit",
            licence=_licence(head),
            prompts=_prompts(prompts),
            two_sides=bool(routers(model)),
            backend=model.backend,
            settings=yaml.safe_dump(dict(made.settings), sort_keys=False) if made.settings else "",
            data=made.data,
            earlier=earlier,
            earlier_name=_label(source),
            scores=_scores(made.verdict) if made.verdict else [],
            versions=", ".join(
                f"{name} {version(name)}" for name in ("clear-ir", "sentence-transformers", "transformers", "torch")
            ),
            citations="\n\n".join(dict.fromkeys(entry.strip() for entry in cited if entry)),
        )
        .replace("\r\n", "\n")
    )


def count_by_language(counts: Mapping[str, int]) -> str:
    """Counts with the names of the languages: `Swahili 1,200, German 30`.

    Args:
        counts: By language.
    """
    return ", ".join(f"{english_name(lang)} {count:,}" for lang, count in sorted(counts.items()))


def _head(title: str, made: Adaptation) -> dict[str, Any]:
    """The head of the card, for the Hub."""
    bases = [name for model in (made.base, made.adapted) if model for name in _hub_names(model)]
    codes = list(dict.fromkeys(lang.split("-")[0] for lang in _langs(made)))
    card = _card_of(made.base)
    return {
        **({"language": codes} if codes else {}),
        **{name: card[name] for name in LICENCE_FIELDS if isinstance(card.get(name), str)},
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "cross-lingual", TAG],
        **({"base_model": bases[0] if len(set(bases)) == 1 else [*dict.fromkeys(bases)]} if bases else {}),
        **({"model-index": [{"name": title, "results": _results(made.verdict)}]} if made.verdict else {}),
    }


def _results(verdict: Verdict) -> list[dict[str, Any]]:
    """The scores as mteb writes them onto cards."""
    revision = {"revision": verdict.revision} if verdict.revision else {}
    return [
        {
            "task": {"type": "Retrieval"},
            "dataset": {"type": "clear-ir", "name": verdict.data, "config": direction, "split": "dev", **revision},
            "metrics": [{"type": "ndcg_at_10", "value": round(100 * score, 3)}],
        }
        for direction, score in verdict.adapted.items()
        if direction != "mean"
    ]


def _scores(verdict: Verdict) -> list[list[str]]:
    rows = []
    for direction, before in verdict.base.items():
        after = verdict.adapted[direction]
        change = f"{100 * (after - before):+.1f}"
        if direction in verdict.intervals:
            low, high = verdict.intervals[direction]
            change += f" ({100 * low:+.1f} to {100 * high:+.1f})"
        rows.append([_in_words(direction), f"{100 * before:.1f}", f"{100 * after:.1f}", change])
    return rows


def _in_words(name: str) -> str:
    """A direction for people: `German questions, English passages`."""
    if name == "mean":
        return "mean across languages"
    return describe_direction(name)


def _langs(made: Adaptation) -> list[str]:
    """Tags of the languages, English first; of a model that is adapted again also those of the card before."""
    card = _card_of(made.adapted or made.base)
    earlier = card.get("language") if TAG in as_list(card.get("tags")) else []
    known = {str(lang) for lang in (*made.langs, *as_list(earlier))} - {UNKNOWN, ALL, ""}
    return sorted(known, key=lambda lang: (lang != "en", lang))


def _names(langs: Sequence[str]) -> list[str]:
    return [english_name(lang) for lang in langs]


def _hub_names(model: str) -> list[str]:
    """The names on the Hub that a model is known to come from."""
    if model == MINILM:
        return [MINILM_ON_THE_HUB]
    if not Path(model).is_dir():
        return [model]
    in_cache = [part.removeprefix("models--") for part in Path(model).resolve().parts if part.startswith("models--")]
    if in_cache:
        return [in_cache[-1].replace("--", "/")]
    return [name for name in as_list(_card_of(model).get("base_model")) if isinstance(name, str)]


def _own_name(model: str) -> str:
    # Of a path only the end: what is before it may name a person or a customer.
    name = Path(model).resolve().name if Path(model).is_dir() else _hub_names(model)[0].rpartition("/")[2]
    return " ".join(name.replace("`", "").split())


def _label(model: str) -> str:
    return f"`{_own_name(model) if Path(model).is_dir() else _hub_names(model)[0]}`"


def _described(model: str) -> str:
    """The base in words."""
    names = _hub_names(model)
    if not Path(model).is_dir():
        return f"[{names[0]}](https://huggingface.co/{names[0]})"
    if not names:
        return f"{_label(model)}, a local folder that does not say what it was made from"
    links = " and ".join(f"[{name}](https://huggingface.co/{name})" for name in names)
    return f"{_label(model)}, a local folder made from {links}"


def _licence(head: Mapping[str, Any]) -> str:
    if "license" not in head:
        return "that of the base, whose card names none here; find it before you share this model"
    shown = head.get("license_name") or head["license"]
    return f"{shown}, as the base's card says" + (f" ({head['license_link']})" if "license_link" in head else "")


def _prompts(prompts: Mapping[str, str]) -> str:
    if not any(prompts.values()):
        return "The model puts no prompt before texts."
    said = " and ".join(
        f"`{json.dumps(prompt, ensure_ascii=False)}` before a {side}" for side, prompt in prompts.items()
    )
    return f"`encode_query` and `encode_document` add the prompts by themselves: {said}."


def _folder_of(model: str) -> Path | None:
    """The folder with a model's card: its own, or that in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(model).is_dir():
        return Path(model)
    card = try_to_load_from_cache(_hub_names(model)[0], CARD_FILE)
    return Path(card).parent if isinstance(card, str) else None


def _card_of(model: str) -> dict[str, Any]:
    folder = _folder_of(model)
    return head_of_card(folder) if folder else {}


def _earlier(model: str) -> dict[str, str]:
    """What the card of a model that clear-ir made says of method, data and sources: they count for this one, too."""
    folder = _folder_of(model)
    if folder is None or TAG not in as_list(head_of_card(folder).get("tags")):
        return {}
    text = (folder / CARD_FILE).read_text(encoding="utf-8")

    def between(start: str, end: str) -> str:
        return text.partition(start)[2].partition(end)[0].strip()

    return {
        "method": between("\n## Method\n\n", "\n\n"),
        "data": between("\n## Data\n", "\n## "),
        "citations": between("\n```bibtex\n", "\n```"),
    }
