"""The page of `clear-ir demo`: a question, the pool, and what each model finds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from clear_ir.data.collection import Collection, Text
from clear_ir.data.directions import ALL
from clear_ir.data.files import InputError
from clear_ir.data.languages import english_name, is_english
from clear_ir.data.texts import text_of
from clear_ir.serve.passage_index import PassageIndex
from clear_ir.serve.ranking_html import render_html
from clear_ir.serve.rankings import Ranking, rank_side_by_side
from clear_ir.serve.search_pool import queries_by_question, question_key, right_passages

#: Letters of a question; encoders read less.
MOST_QUESTION_LETTERS = 1000
#: Example questions of each language.
EXAMPLES = 3
#: Examples that are shown at once; the others are on further pages.
MOST_EXAMPLES = 8
#: More languages than this are chosen from a list that unfolds.
MOST_BUTTONS = 12
#: Questions that wait while one is answered. Further ones are refused.
MOST_WAITING = 20

HINT = "Type a question, or choose one of the examples."


class Demo:
    """Answers the questions of the page.

    Args:
        collection: Has the passages, and the questions whose right passages are known.
        indexes: All its passages, by name of the model: one model, or the base and then the adapted one.
        top_k: Passages to show for each model.
    """

    def __init__(self, collection: Collection, indexes: Mapping[str, PassageIndex], top_k: int = 10) -> None:
        self.collection = collection
        self.indexes = indexes
        self.top_k = top_k
        self._queries = queries_by_question(collection)
        #: Languages of the passages, English first.
        self.langs = _english_first({passage.lang for passage in collection.passages.values()})

    def answer(self, question: str, pool: str, with_scores: bool) -> str:
        """What the models find for a question, as HTML.

        Args:
            question: As somebody typed it.
            pool: The language of the passages to search, or `all`.
            with_scores: Show the scores.

        Returns:
            A sentence on the right passage, then the rankings side by side.
        """
        try:
            asked = text_of(question, "The question")
        except InputError as error:
            return _note(str(error))
        if asked is None:
            return _note(HINT)
        asked = asked[:MOST_QUESTION_LETTERS]
        queries = self._queries.get(question_key(asked), [])
        right = right_passages(self.collection, queries)
        # The moves are those of the adapted model, which is shown last.
        rankings = rank_side_by_side(dict(reversed(list(self.indexes.items()))), asked, self.top_k, right, pool)[::-1]
        shown = render_html(rankings, self.collection.passages, right, with_scores)
        return self._verdict(queries, rankings) + shown

    def examples(self) -> list[Text]:
        """Questions of the collection in each of its languages: the first of each, then the second, and so on."""
        judged = [query for name, query in self.collection.queries.items() if self.collection.qrels.get(name)]
        by_lang = {
            lang: [query for query in judged if query.lang == lang][:EXAMPLES]
            for lang in _english_first({query.lang for query in judged})
        }
        rounds = itertools.zip_longest(*by_lang.values())
        return [query for queries in rounds for query in queries if query]

    def _verdict(self, queries: Sequence[Text], rankings: Sequence[Ranking]) -> str:
        if not queries:
            return _note("This is no question of the collection, so no passage is marked as right.")
        if not rankings[0].right_ranks:
            return _note("The right passage is not in this pool.")
        places = [f"{min(ranking.right_ranks.values())} with {ranking.model}" for ranking in rankings]
        many = len(rankings[0].right_ranks)
        which = "The right passage" if many == 1 else f"The first of {many} right passages"
        sentence = f"{which} is at rank {' and '.join(places)}."
        return f'<p class="verdict">{escape(sentence)}</p>'


def build_page(demo: Demo) -> Any:
    """Lay out the page.

    Args:
        demo: Answers the questions.

    Returns:
        The page, a `gradio.Blocks`, with a queue in which one question is answered at a time.
    """
    import gradio as gr

    examples = demo.examples()
    choices = [(english_name(lang), lang) for lang in demo.langs] + [("all languages", ALL)]
    with gr.Blocks(title=f"{demo.collection.name} · clear-ir", analytics_enabled=False) as page:
        gr.HTML(_head(demo), js_on_load=None, elem_classes="head")
        with gr.Row(equal_height=True):
            question = gr.Textbox(
                label="Question, in any language", max_length=MOST_QUESTION_LETTERS, scale=5, min_width=300
            )
            button = gr.Button("Search", variant="primary", scale=1, min_width=120)
        samples = gr.Dataset(
            label="Questions of the collection",
            components=[gr.Textbox(visible=False)],
            samples=[[query.text] for query in examples],
            sample_labels=[f"{english_name(query.lang)}: {query.text}" for query in examples],
            samples_per_page=min(len({query.lang for query in examples}) or 1, MOST_EXAMPLES),
            visible=bool(examples),
            elem_classes="examples",
        )
        pool = (gr.Radio if len(choices) <= MOST_BUTTONS else gr.Dropdown)(
            choices,
            value=demo.langs[0] if is_english(demo.langs[0]) else ALL,
            label="Search the passages in",
            visible=len(demo.langs) > 1,
        )
        scores = gr.Checkbox(label="Show scores")
        results = gr.HTML(_note(HINT), js_on_load=None, elem_classes="results")
        # One concurrency_id: encoders answer one question at a time, however it was asked.
        answering: dict[str, Any] = {
            "fn": demo.answer,
            "inputs": [question, pool, scores],
            "outputs": results,
            "concurrency_id": "answer",
            "api_visibility": "private",
        }
        filled = samples.click(lambda sample: sample[0], samples, question, api_visibility="private")
        filled.then(**answering)
        gr.on([button.click, question.submit, pool.change, scores.change], trigger_mode="always_last", **answering)
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1)
    return page


def _head(demo: Demo) -> str:
    count = f"{len(demo.collection.passages):,} passages in {', '.join(map(english_name, demo.langs))}."
    base, *others = demo.indexes
    models = f"Model: {base}." if not others else f"▲ and ▼: ranks that {others[0]} moves a passage against {base}."
    return f"<h1>{escape(demo.collection.name)}</h1><p>{escape(count)} {escape(models)}</p>"


def _note(sentence: str) -> str:
    return f'<p class="note">{escape(sentence)}</p>'


def _english_first(langs: set[str]) -> list[str]:
    return sorted(langs, key=lambda lang: (not is_english(lang), english_name(lang)))
