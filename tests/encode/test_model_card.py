"""The cards of the models that train, align and merge write: what they say, and that no text of the user is in them."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard
from tiny import make_encoder, make_training_rows, settings

from clear_ir.data.output_files import write_jsonl, write_text
from clear_ir.encode.model_card import Adaptation, Verdict, render_card
from clear_ir.encode.model_loading import load_encoder
from clear_ir.train.run import train_model
from clear_ir.train.trainer import make_evaluator, make_trainer, split_rows

HEAD = "---\nlicense: mit\nlicense_link: https://example.org/l\nbase_model: intfloat/multilingual-e5-small\n---\n# E5\n"


@pytest.fixture
def base(tmp_path):
    """A base in a folder whose path says more than the world should know."""
    folder = tmp_path / "customer-acme" / "my-e5"
    make_encoder(double=False).save_pretrained(str(folder), create_model_card=False)
    write_text(folder / "README.md", HEAD)
    return folder


def card_of(folder):
    card = ModelCard.load(str(folder / "README.md"))
    assert card.data.library_name == "sentence-transformers"
    assert "clear-ir" in card.data.tags
    return card


def marked_rows(count=40):
    """Rows in whose every text stands a word that no other file can have."""
    rows = make_training_rows(count)
    for row in rows.records:
        for column in rows.columns:
            row[column] += " zzsecret"
    return rows


def files_with_secrets(folder):
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and b"zzsecret" in path.read_bytes()
    )


def test_no_text_of_the_rows_is_in_what_the_commands_write(tmp_path, base, run):
    rows, data = tmp_path / "rows.jsonl", tmp_path / "own.jsonl"
    write_jsonl(rows, marked_rows().records)
    own = [
        {"query": f"{r['anchor']}", "passage": r["positive"], "cross_query": r["cross_anchor"], "lang": "sw"}
        for r in marked_rows().records
    ]
    write_jsonl(data, own)
    assert run("prepare", "rows", "--rows", data, "--out", tmp_path / "data")[0] == 0
    assert files_with_secrets(tmp_path / "data"), "the search finds nothing where there is something"
    common = ("--batch-size", 8, "--max-steps", 2, "--precision", "fp32")
    trained, merged, aligned, shown = (tmp_path / name for name in ("trained", "merged", "aligned", "shown"))
    for arguments in (
        ("train", "--model", base, "--rows", rows, *common, "--distil-steps", 1, "--out", trained),
        ("merge", base, trained, "--data", tmp_path / "data" / "collection", "--weights", "0.5,1", "--out", merged),
        ("align", "--model", base, "--rows", rows, "--method", "map", "--out", aligned),
        ("train", "--model", base, "--rows", rows, *common, "--with-samples", "--out", shown),
    ):
        code, _, err = run(*arguments)
        assert code == 0, err
    for folder in (trained, merged, aligned):
        assert files_with_secrets(folder) == []
        card = card_of(folder)
        assert card.data.license == "mit"
        assert card.data.base_model == "intfloat/multilingual-e5-small"
        assert card.data.language == ["en", "sw"]
        assert "acme" not in card.content
        assert "Swahili questions, English passages" in card.text
        assert "`my-e5`, a local folder made from [intfloat/multilingual-e5-small]" in card.text
    assert files_with_secrets(shown) == ["README.md"]
    assert [json.loads(line)["anchor"] for line in card_of(shown).text.splitlines() if line.startswith('{"')] == [
        row["anchor"] for row in marked_rows().records[:3]
    ]
    # A merged model has learned from the rows of the model that was merged.
    for folder in (trained, merged):
        text = card_of(folder).text
        assert "Training rows: Swahili 40." in text
        assert "Trained with the loss infonce" in text
        assert text.count("2604.05821") == text.count("1908.10084") == 1
    merge = json.loads((merged / "merge.json").read_text())
    scores = {point["weight"]: point["scores"] for point in merge["points"]}[merge["weight"]]
    results = card_of(merged).data.eval_results
    assert {r.dataset_config: r.metric_value for r in results} == {d: round(100 * s, 3) for d, s in scores.items()}
    assert {(r.task_type, r.metric_type, r.dataset_revision) for r in results} == {
        ("Retrieval", "ndcg_at_10", merge["data_hash"])
    }


def test_the_card_of_training_says_what_the_log_and_the_recipe_say(tmp_path, base):
    log = train_model(str(base), make_training_rows(), settings(side="queries"), tmp_path / "m")
    text, dev = card_of(tmp_path / "m").text, log[0]["dev"]
    for name, words in (("mean", "mean across languages"), ("q-sw.p-en", "Swahili questions, English passages")):
        before, after = (100 * dev[which][name] for which in ("base", "kept"))
        low, high = (100 * end for end in dev["intervals"][name])
        assert low <= after - before <= high
        change = f"{after - before:+.1f} ({low:+.1f} to {high:+.1f})"
        assert f"| {words} | {before:.1f} | {after:.1f} | {change} |" in text
    assert "Only the encoder of queries was trained" in text
    assert "Queries and passages go through different modules" in text
    shown = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    # The recipe has what was given, the card also what it came to.
    assert shown.pop("scale") == log[0]["scale"]
    assert shown | {"scale": None} == yaml.safe_load((tmp_path / "m" / "recipe.yaml").read_text())["train"]
    assert "2604.05821" in text


def test_the_same_run_gives_the_same_card_wherever_it_is(tmp_path, base):
    for name in ("a", "b"):
        train_model(str(base), make_training_rows(), settings(max_steps=2), tmp_path / name)
    assert (tmp_path / "a" / "README.md").read_bytes() == (tmp_path / "b" / "README.md").read_bytes()


def test_prompts_are_shown_as_they_are():
    model = make_encoder()
    model.prompts = {"query": "Query:\n`x` ", "document": ""}
    card = ModelCard(render_card(model, Adaptation("train", "a/b", "How.")))
    assert card.data.base_model == "a/b"
    assert "before a query" in card.text
    assert '"Query:\\n`x` "' in card.text
    assert "that of the base, whose card names none here" in card.text


def test_languages_and_pools_have_names_and_odd_names_break_nothing():
    scores = {"q-sw.p-en": 0.5, "q-zh-Hant.p-all": 0.25, "q-xx.p-en+de": 0.1, "mean": 0.3}
    verdict = Verdict(scores, dict(scores, mean=0.4), "Asked.", 'da"ta: [x')
    made = Adaptation("align", "o/m", "How.", langs=["sw", "zh-Hant", "xx", "en"], verdict=verdict)
    card = ModelCard(render_card(make_encoder(), made))
    assert card.data.language == ["en", "sw", "zh"]
    assert "| English, Swahili, Chinese, Han (Traditional variant) |" in card.text
    assert (
        "| Chinese, Han (Traditional variant) questions, passages in all languages | 25.0 | 25.0 | +0.0 |" in card.text
    )
    assert "questions, English and German passages | 10.0 |" in card.text
    assert "| mean across languages | 30.0 | 40.0 | +10.0 |" in card.text
    assert {result.dataset_name for result in card.data.eval_results} == {'da"ta: [x'}


def test_an_adapted_model_keeps_its_prompts_though_its_card_names_a_base(tmp_path, base, caplog):
    train_model(str(base), make_training_rows(), settings(max_steps=1, dev_share=0.0), tmp_path / "m")
    with caplog.at_level("WARNING", "clear_ir"):
        assert not any(load_encoder(str(tmp_path / "m")).prompts.values())
    assert "has no prompts, though its base intfloat/multilingual-e5-small has" in caplog.text


def test_no_text_is_on_the_card_of_a_checkpoint(tmp_path):
    encoder, rows = make_encoder(double=False), marked_rows()
    data = split_rows(rows, settings())
    trainer = make_trainer(encoder, data, settings(), tmp_path / "run", make_evaluator(data, settings(), encoder))
    trainer.save_model(str(tmp_path / "checkpoint"))
    assert "CLEARLoss" in (tmp_path / "checkpoint" / "README.md").read_text()
    assert files_with_secrets(tmp_path / "checkpoint") == []
