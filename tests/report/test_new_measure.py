"""Adding a measure touches the registry alone: files, tables and report follow, and older results stay readable."""

import json

import pytest
from tiny import make_encoder, quiet

from clear_ir.compare.comparison import compare_models, compare_results
from clear_ir.data.collection import Collection, Text
from clear_ir.data.files import InputError
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.measures import FAMILIES, MEASURES, Measure, MeasureFamily, TrecEval
from clear_ir.evaluate.results import read_results, write_results
from clear_ir.report.json_documents import comparison_document, evaluation_document
from clear_ir.report.page import render_report
from clear_ir.report.tables import definitions_table, measures_table, mixed_table

WORDS = "river desert bread court drum metal".split()


def first_rank(ranking):
    return float(min(ranking.ranks.values()))


NEW = (
    Measure("R@3", "R@3", "relevant passages up to rank 3, divided by R", TrecEval("R@3")),
    Measure("first_rank", "first rank", "rank of the 1st", first_rank, unit="rank", better="lower", meaning="the 1st"),
    Measure("late", "late", "-", lambda ranking: 1.0 if ranking.ranks else None, "one language", meaning="a toy"),
    Measure("own_share", "own share", "-", lambda ranking: 0.25, "several languages", meaning="another toy"),
)
FAMILY = MeasureFamily("toy", "toy, p-L", "Toys by language", "A sentence.", "-", lambda ranking, lang: 0.5)


@pytest.fixture
def collection():
    passages, queries, qrels = {}, {}, {}
    for i, word in enumerate(WORDS):
        for lang, text in (("en", f"the {word}"), ("sw", f"{word} mto")):
            passages[f"p{i}@{lang}"] = Text(f"p{i}@{lang}", text, lang, parallel_id=f"p{i}")
            queries[f"q{i}@{lang}"] = Text(f"q{i}@{lang}", f"what {text}", lang, parallel_id=f"q{i}")
            qrels[f"q{i}@{lang}"] = {f"p{i}@en": 1, f"p{i}@sw": 1}
    return Collection("tiny", passages, queries, qrels)


@pytest.fixture
def evaluated(tmp_path, collection):
    """Evaluates a model, writes the results, reads them again."""

    def evaluate(name, seed=0):
        encoder = make_encoder(double=False, seed=seed)
        write_results(tmp_path / name, evaluate_model(quiet(encoder), collection, name))
        return read_results(tmp_path / name)

    return evaluate


@pytest.fixture
def older(evaluated):
    """Results from before the new measures."""
    return evaluated("older")


@pytest.fixture
def _new_measures(older, monkeypatch):
    for measure in NEW:
        monkeypatch.setitem(MEASURES, measure.name, measure)
    monkeypatch.setitem(FAMILIES, FAMILY.name, FAMILY)


@pytest.mark.usefixtures("_new_measures")
def test_files_follow_from_the_registry(tmp_path, evaluated):
    results = evaluated("newer")
    document = json.loads((tmp_path / "newer" / "results.json").read_text())
    entries = {entry["direction"]: entry for entry in document["scores"]["test"]}
    single, mixed = entries["q-sw.p-en"], entries["q-sw.p-en+sw"]
    assert single["R@1"] <= single["R@3"] <= single["R@10"]
    assert single["first_rank_median"] >= 1
    assert single["late"] == 1.0
    assert "late" not in mixed
    assert (mixed["own_share"], mixed["toy(en)"], mixed["toy(sw)"]) == (0.25, 0.5, 0.5)
    assert not {"own_share", "toy(en)"} & single.keys()
    records = [json.loads(line) for line in (tmp_path / "newer" / "per_query.jsonl").read_text().splitlines()]
    for record in records:
        # The first relevant passage is at the rank that RR@10 says.
        assert 1 / record["first_rank"] == pytest.approx(record["RR@10"]) or record["first_rank"] > 10
    means = evaluation_document(results)["directions"]["q-sw.p-en"]
    assert means == {"num_queries": 6, "num_passages": 6} | {
        name: single[name] for name in results.directions["q-sw.p-en"].means
    }


@pytest.mark.usefixtures("_new_measures")
def test_tables_and_report_follow_and_older_results_have_blank_cells(tmp_path, older, evaluated):
    newer = evaluated("newer", seed=1)
    table = measures_table([older, newer])
    assert table.head[-4:] == ["R@3", "first rank, mean", "median", "late"]
    for row in table.rows:
        assert (row[-4:] == [""] * 4) == (row[0] == "older")
        assert all(row[:-4])
    table = mixed_table([older, newer])
    assert table.head[-1] == "own share"
    assert [row[-1] for row in table.rows] == ["", "25.0"] * 2
    assert "Toys by language" not in table.markdown()
    assert "| first rank | rank of the 1st | lower |" in definitions_table(mixed=False).markdown(padded=False)
    assert "| toy, p-L | - | higher |" in definitions_table(mixed=True).markdown(padded=False)
    render_report(tmp_path / "report", older, [newer])
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "passages to choose from. first rank: the 1st; late: a toy." in markdown
    assert "own share: another toy." in markdown
    assert "## Toys by language\n\nA sentence.\n\n| direction" in markdown
    with pytest.raises(InputError, match=r"The results of older have no R@3 for the query q0@en in q-en\.p-en; choose"):
        compare_results(older, [newer], "R@3")


def test_results_without_a_measure_or_without_the_main_one(tmp_path, older, evaluated):
    newer = evaluated("newer", seed=1)
    path = tmp_path / "older" / "per_query.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]

    def without(name):
        kept = [{key: value for key, value in record.items() if key != name} for record in records]
        path.write_text("".join(json.dumps(record) + "\n" for record in kept))
        return read_results(tmp_path / "older")

    lacking = without("AP@100")
    [column] = [i for i, name in enumerate(measures_table([lacking]).head) if name == "AP@100"]
    assert {row[column] for row in measures_table([lacking]).rows} == {""}
    lacking = without("Complete@10")
    comparison = compare_models(lacking, [newer])
    assert {d.measure for d in comparison.mixed} == {"nDCG@10"}
    render_report(tmp_path / "report", lacking, [newer])
    assert "Complete@10 x 100" not in (tmp_path / "report" / "report.html").read_text()
    with pytest.raises(InputError, match=r"per_query\.jsonl, line 1: nDCG@10 is missing"):
        without("nDCG@10")


def test_the_documents_hold_what_the_tables_show(older, evaluated):
    newer = evaluated("newer", seed=1)
    comparison = compare_models(older, [newer])
    document = comparison_document(comparison)
    assert [d["direction"] for d in document["directions"]] == list(older.directions)
    assert document["directions"][0]["gap_closed"] is None, "English does not cross languages"
    assert {d["measure"] for d in document["mixed"]} == {"nDCG@10", "Complete@10"}
    summaries = evaluation_document(newer)["summaries"]
    assert list(summaries) == [d["direction"] for d in document["summaries"]]
    for difference in document["summaries"]:
        assert summaries[difference["direction"]]["value"] == difference["value"]
    worst = summaries["worst direction"]
    assert worst["value"] == newer.directions[worst["direction"]].mean("nDCG@10")
    json.dumps([document, evaluation_document(newer)], allow_nan=False)
