"""A report with every section."""

import pytest
from tiny import quiet

from clear_ir.data.collection import Collection, Text
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.results import read_results, write_results
from clear_ir.report.page import render_report


@pytest.fixture
def whole_report(tmp_path, encoder):
    """A report of three languages a side, from a real encoder and one whose weights were disturbed."""
    import torch

    words = "river moon stone fire bird tree salt wind".split()
    langs = ("en", "de", "sw")

    def texts(side, pattern):
        made = [
            Text(f"{side}{i}-{lang}", pattern.format(word, lang), lang, parallel_id=f"{side}{i}")
            for i, word in enumerate(words)
            for lang in langs
        ]
        return {text.id: text for text in made}

    passages, queries = texts("p", "{} {}"), texts("q", "<i>{}</i> {}?")
    qrels = {q: {p: 1 for p in passages if p[1] == q[1]} for q in queries}
    collection = Collection("parallel", passages, queries, qrels, "test")
    write_results(tmp_path / "base", evaluate_model(quiet(encoder), collection, "base"))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in encoder.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator) * parameter.std().nan_to_num()
    write_results(tmp_path / "other", evaluate_model(quiet(encoder), collection, "other"))
    both = [read_results(tmp_path / name) for name in ("base", "other")]
    render_report(tmp_path / "report", both[0], both[1:], collection=collection)
    return tmp_path / "report"
