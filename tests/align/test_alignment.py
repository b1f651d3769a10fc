"""Fitting and choosing on a tiny encoder, the written folder, and vectors that are moved without encoding."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import refused
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from tiny import make_encoder, quiet
from words import collection, records, rows

from clear_ir.align.alignment import AlignmentTexts, align_model, encode_folds
from clear_ir.align.dev_scores import DevQuestions
from clear_ir.align.fitting import METHODS, STRENGTHS, Fold, choose_maps, refit
from clear_ir.align.maps import SideMaps, fit_projection, fit_ridge, language_directions
from clear_ir.align.model_folder import add_maps, check_alignable, read_alignment
from clear_ir.align.settings import AlignSettings
from clear_ir.align.texts import encode_for_fitting
from clear_ir.data.collection_files import write_collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import LabelledText, Translation
from clear_ir.encode.architecture import routers
from clear_ir.encode.backends import InProcess
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.settings import EncodingSettings
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.space import unit
from clear_ir.train.run import train_model

PAIRS = [Translation(row["anchor"], row["cross_anchor"], row["lang"]) for row in records()]
TEXTS = ["what is moon bread", "mto jangwa mwezi", "der Fluss ist lang"]


@pytest.fixture(scope="module")
def encoder():
    return quiet(make_encoder(double=False))


@pytest.fixture(scope="module")
def vectors(encoder):
    return encode_for_fitting(encoder, PAIRS)


@pytest.fixture(scope="module")
def dev(encoder):
    return DevQuestions(encoder, collection())


def choose(vectors, dev, settings):
    return choose_maps(vectors, [Fold(vectors, dev)], settings)


def align(folder, out, method="auto", dev=None, **changes):
    return align_model(
        str(folder), AlignmentTexts(rows(), dev=dev), AlignSettings(method=method, **changes),
        EncodingSettings(no_cache=True), out,
    )  # fmt: skip


def test_vectors_to_fit_on(encoder, vectors):
    assert len(vectors.english) == len(vectors.translations) == len(PAIRS)
    for row in (0, 70):
        expected = unit(encoder.encode([PAIRS[row].english, PAIRS[row].translation], "query"))
        np.testing.assert_allclose([vectors.english[row], vectors.translations[row]], expected, atol=1e-6)
    english = unit(encoder.encode(sorted({pair.english for pair in PAIRS}), "query"))
    np.testing.assert_allclose(vectors.means["en"], english.mean(0), atol=1e-6)
    assert vectors.counts == {"en": 56, "sw": 56, "de": 56}
    assert vectors.passages.shape == (0, 32)
    kept = encode_for_fitting(encoder, PAIRS, passages=["river moon", "river moon", "bread"]).passages
    np.testing.assert_allclose(kept, unit(encoder.encode(["river moon", "bread"], "passage")), atol=1e-6)
    few = encode_for_fitting(encoder, PAIRS, [LabelledText(text, "ru") for text in TEXTS])
    assert few.few == {"ru": 3}
    assert few.means.keys() == {"en", "sw", "de"}
    with pytest.raises(InputError, match="no text in a language other than English"):
        encode_for_fitting(encoder, [], [LabelledText("river", "en")])


def test_dev_scores_are_those_of_an_evaluation(encoder, vectors):
    """Of the base, and of an encoder that has the maps as modules."""
    whole = collection(["en", "sw", "de"])
    dev = DevQuestions(encoder, whole)
    project = fit_projection(unit(vectors.means["sw"][None] - vectors.means["en"][None]))
    for maps in (SideMaps(), SideMaps(project), SideMaps(project, project)):
        scores = dev.score(maps)
        results = evaluate_model(quiet(add_maps(make_encoder(double=False), maps)), whole, "m")
        expected = {name: result.mean("nDCG@10") for name, result in results.directions.items()}
        assert scores.directions == pytest.approx(expected, abs=1e-6)
        assert scores.english == pytest.approx(expected["q-en.p-en"], abs=1e-6)
        mono = [expected[f"q-{lang}.p-{lang}"] for lang in ("en", "sw", "de")]
        assert scores.monolingual == pytest.approx(np.mean(mono), abs=1e-6)
        cross = [value for name, value in expected.items() if name[2:4] != name[-2:]]
        assert len(cross) == 6
        assert scores.cross_lingual == pytest.approx(np.mean(cross), abs=1e-6)
        assert scores.worst == min(scores.directions.values())
        mixed = [results.mixed[f"q-{lang}.p-all"].mean("Complete@10") for lang in ("en", "sw", "de")]
        assert scores.complete == pytest.approx(np.mean(mixed), abs=1e-6)
        own = [results.mixed[f"q-{lang}.p-all"].mean("own_language_first") for lang in ("en", "sw", "de")]
        assert scores.own_first == pytest.approx(np.mean(own), abs=1e-6)
        assert scores.aim == pytest.approx((scores.cross_lingual + scores.complete) / 2)


def test_auto_takes_the_best_that_keeps_english(vectors, dev):
    choice = choose(vectors, dev, AlignSettings(max_loss=5))
    assert [fit.method for fit in choice.tried] == list(METHODS)
    assert choice.best.scores.aim > choice.base.scores.aim + 0.1, "something is learned"
    for fit in choice.tried:
        keeps = (
            fit.scores.english >= choice.base.scores.english - 0.05 - 1e-9
            and fit.scores.monolingual >= choice.base.scores.monolingual - 0.05 - 1e-9
        )
        assert keeps == fit.scores.keeps(choice.base.scores, 5)
        assert not keeps or fit.scores.aim <= choice.best.scores.aim
    assert choice.base.scores.english > next(f for f in choice.tried if f.method == "procrustes").scores.english + 0.05
    free = choose(vectors, dev, AlignSettings(max_loss=100))
    assert free.best.scores.aim == max(fit.scores.aim for fit in free.tried)


def test_each_part_of_the_rows_is_held_out_once(encoder, monkeypatch):
    """Against folds that are put together by hand; in the end the map is fitted on all rows."""
    texts, settings = AlignmentTexts(rows()), AlignSettings(method="map", english_weight=1.0)
    encoded, encode = [], InProcess.encode

    def watch(self, model, missing, side, precision):
        encoded.extend((text, side) for text in missing)
        return encode(self, model, missing, side, precision)

    monkeypatch.setattr(InProcess, "encode", watch)
    vectors, folds = encode_folds(encoder, texts, settings)
    assert encoder.cache is None
    assert len(encoded) == len(set(encoded)) > len(PAIRS), (
        "what folds have in common is encoded once, without a cache too"
    )
    passages = [{row["positive"] for row in records() if row["anchor"] in asked} for asked in map(questions_of, folds)]
    assert passages[0].isdisjoint(passages[1])
    assert passages[0] | passages[1] == {row["positive"] for row in records()}
    assert len(vectors.english) == len(PAIRS) == sum(len(fold.vectors.english) for fold in folds)
    for fold in folds:
        kept = [pair for pair in PAIRS if pair.english not in questions_of(fold)]
        expected = encode_for_fitting(encoder, kept)
        np.testing.assert_array_equal(fold.vectors.translations, expected.translations)
        np.testing.assert_allclose(fold.vectors.means["en"], expected.means["en"], atol=1e-12)
    [fit] = choose_maps(vectors, folds, settings).tried
    scores = {}
    for strength in STRENGTHS:
        fixed = settings.model_copy(update={"strength": strength})
        [one, other] = [choose(fold.vectors, fold.dev, fixed).tried[0].scores for fold in folds]
        scores[strength] = (one.cross_lingual + other.cross_lingual) / 2
        if strength == fit.chosen["strength"]:
            assert fit.scores.cross_lingual == pytest.approx(scores[strength])
            assert fit.scores.english == pytest.approx((one.english + other.english) / 2)
            for direction, score in fit.scores.directions.items():
                assert score == pytest.approx((one.directions[direction] + other.directions[direction]) / 2)
            assert fit.scores.worst == min(fit.scores.directions.values())
    assert len(set(scores.values())) > 1
    np.testing.assert_array_equal(fit.maps.query.matrix, refit(fit, vectors).query.matrix)
    assert not np.array_equal(fit.maps.query.matrix, refit(fit, folds[0].vectors).query.matrix)


def questions_of(fold):
    return {query.text for query in fold.dev.collection.queries.values() if query.lang == "en"}


def test_too_few_rows_to_split_are_refused(encoder, tmp_path, tiny_folder):
    few = replace(rows(), records=[row for row in records() if row["positive"] == records()[0]["positive"]])
    with pytest.raises(InputError, match="too few passages and questions to split them into 2 parts; give more rows"):
        encode_folds(encoder, AlignmentTexts(few), AlignSettings())
    with pytest.raises(InputError, match="nothing to choose by; give a dev collection"):
        encode_folds(encoder, AlignmentTexts(None, PAIRS), AlignSettings())


def test_settings_are_used_as_they_are(vectors, dev):
    [fit] = choose(vectors, dev, AlignSettings(method="map", strength=0.5, english_weight=2.0)).tried
    assert fit.chosen == {"strength": 0.5, "english_weight": 2.0}
    [fit] = choose(vectors, dev, AlignSettings(method="project", directions=1)).tried
    assert np.linalg.matrix_rank(fit.maps.query.matrix) == 31
    with pytest.raises(InputError, match="directions is 3, but the means of 3 languages differ in 2; give fewer"):
        choose(vectors, dev, AlignSettings(method="project", directions=3))


def test_what_a_ridge_map_of_each_method_is_fitted_on(encoder, dev):
    """Against the plain sums, weighted by hand: all pairs 1, English queries and passages each `english_weight`."""
    vectors = encode_for_fitting(encoder, PAIRS, passages=["river moon", "bread is light"])
    settings = {"strength": 0.5, "english_weight": 0.25}
    project = fit_projection(language_directions(vectors.means)[:1])

    def expected(first, passages):
        english, others, kept = map(first, (vectors.english, vectors.translations, vectors.passages))
        kinds = [(others, english, 1.0), (english, english, 0.25), *([(kept, kept, 0.25)] if passages else [])]
        weights = np.concatenate([np.full(len(sources), share / len(sources)) for sources, _, share in kinds])
        return fit_ridge(*(np.concatenate([kind[i] for kind in kinds]) for i in (0, 1)), 0.5, weights)

    for method, first, passages in (
        ("map", np.asarray, False), ("map-both", np.asarray, True), ("project+map", project.unscaled, True),
    ):  # fmt: skip
        fixed = settings | ({"directions": 1} if method == "project+map" else {})
        [fit] = choose(vectors, dev, AlignSettings(method=method, **fixed)).tried
        assert fit.chosen == fixed
        ridge = expected(first, passages)
        whole = ridge.after(project) if method == "project+map" else ridge
        np.testing.assert_allclose(fit.maps.query.matrix, whole.matrix, atol=1e-10)
        np.testing.assert_allclose(fit.maps.query.offset, whole.offset, atol=1e-10)
        assert fit.maps.passage is (fit.maps.query if passages else None)
        np.testing.assert_array_equal(refit(fit, vectors).query.matrix, fit.maps.query.matrix)


def test_what_cannot_be_fitted_is_said(encoder, dev):
    few = encode_for_fitting(encoder, PAIRS[:5])
    choice = choose(few, dev, AlignSettings())
    assert [fit.method for fit in choice.tried] == ["map", "map-both", "procrustes"]
    assert "project was not tried: it needs 20 texts or more in English and in another language." in choice.notes
    assert "Languages with fewer than 20 texts have no mean of their own: en 5, sw 5." in choice.notes
    with pytest.raises(InputError, match="The method shift cannot be fitted: it needs 20 texts or more in English"):
        choose(few, dev, AlignSettings(method="shift"))
    texts = [LabelledText(pair.english, "en") for pair in PAIRS] + [LabelledText(p.translation, p.lang) for p in PAIRS]
    unpaired = encode_for_fitting(encoder, [], texts)
    assert [fit.method for fit in choose(unpaired, dev, AlignSettings()).tried] == ["project", "shift"]
    with pytest.raises(InputError, match="no direction across languages"):
        DevQuestions(encoder, collection(["en"], ["en"]))


@pytest.mark.parametrize("method", ["project", "map", "map-both", "project+map"])
@pytest.mark.parametrize("scaled", [True, False])
def test_the_folder_gives_the_mapped_vectors(tmp_path, method, scaled):
    base = make_encoder(double=False)
    base.prompts = {"query": "query : ", "document": ""}
    if scaled:
        base.append(Normalize())
    base.save_pretrained(str(tmp_path / "base"), create_model_card=False)
    fitted = align(tmp_path / "base", tmp_path / "aligned", method).fitted
    model = SentenceTransformer(str(tmp_path / "aligned"))
    assert len(routers(model)) == (method == "map")
    assert model.prompts == base.prompts
    assert model.max_seq_length == base.max_seq_length
    assert all(parameter.dtype.itemsize == 4 for parameter in model.parameters())
    before, after = quiet(load_encoder(str(tmp_path / "base"))), quiet(load_encoder(str(tmp_path / "aligned")))
    for side, of_side in (("query", fitted.maps.query), ("passage", fitted.maps.passage)):
        vectors = before.encode(TEXTS, side)
        expected = of_side(vectors) if of_side else vectors
        np.testing.assert_allclose(after.encode(TEXTS, side), expected, atol=1e-6)
        plain = model.encode_query(TEXTS) if side == "query" else model.encode_document(TEXTS)
        np.testing.assert_allclose(unit(plain), expected, atol=1e-6)
        assert of_side is None or np.abs(expected - vectors).max() > 0.01
    made = json.loads((tmp_path / "aligned" / "align.json").read_text())
    assert made["method"] == method
    assert made["base"] == str(tmp_path / "base")
    assert made["texts_by_language"].keys() == {"en", "sw", "de"}
    assert made["dev_scores"][0]["method"] == "base"
    assert "No weight of the encoder was trained." in "\n".join(
        (tmp_path / "aligned/README.md").read_text().split("\n")
    )
    document, maps, _ = read_alignment(tmp_path / "aligned")
    assert document == made
    np.testing.assert_array_equal(maps.query.matrix, fitted.maps.query.matrix)
    assert (maps.passage is None) == (fitted.maps.passage is None)


def test_an_aligned_encoder_is_aligned_again_and_trained(tmp_path, tiny_folder):
    align(tiny_folder, tmp_path / "once", "map")
    fitted = align(tmp_path / "once", tmp_path / "twice", "project").fitted
    before, after = quiet(load_encoder(str(tmp_path / "once"))), quiet(load_encoder(str(tmp_path / "twice")))
    for side, of_side in (("query", fitted.maps.query), ("passage", fitted.maps.passage)):
        np.testing.assert_allclose(after.encode(TEXTS, side), of_side(before.encode(TEXTS, side)), atol=1e-6)
    from tiny import settings

    log = train_model(str(tmp_path / "once"), rows(), settings(dev_share=0.2), tmp_path / "trained")
    assert "those that the texts use" in log[0]["vocabulary"]
    trained = quiet(load_encoder(str(tmp_path / "trained")))
    for side in ("query", "passage"):
        assert np.abs(trained.encode(TEXTS, side) - before.encode(TEXTS, side)).max() > 1e-4, f"{side}: nothing moved"


def test_encoders_that_cannot_be_mapped_exactly_are_refused():
    cutting = make_encoder()
    cutting.truncate_dim = 8
    with pytest.raises(InputError, match=r"cuts its vectors to 8 numbers \(truncate_dim\).*align the encoder without"):
        check_alignable(cutting)
    dot = make_encoder()
    dot.similarity_fn_name = "dot"
    with pytest.raises(InputError, match="compares vectors of any length by dot"):
        check_alignable(dot)
    dot.append(Normalize())
    check_alignable(dot)


@pytest.fixture
def files(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", records())
    write_collection(tmp_path / "dev", collection())
    return tmp_path


def test_the_command_and_an_index_that_is_moved(run, files, tiny_folder):
    out = files / "aligned"
    common = ("--model", tiny_folder, "--rows", files / "rows.jsonl", "--no-cache", "--max-loss", "5")
    code, said, err = run("align", *common, "--data", files / "dev", "--out", out)
    assert code == 0, err
    assert "| project+map" in said
    assert "Fitted on 56 en, 56 sw, 56 de texts." in said
    assert "Next: clear-ir evaluate --model" in said
    refused(run("align", *common, "--out", out), "already holds results (align.json)", "--overwrite")
    chosen = json.loads((out / "align.json").read_text())
    code, said, _ = run("align", *common, "--data", files / "dev", "--out", out, "--overwrite", "--json")
    assert code == 0
    assert json.loads(said)["method"] == chosen["method"]
    # An index of the base, moved, is the index of the aligned encoder.
    assert run("align", *common, "--method", "project", "--out", out, "--overwrite")[0] == 0
    base, aligned = quiet(load_encoder(str(tiny_folder))), quiet(load_encoder(str(out)))
    for side, dtype in (("passage", np.float32), ("query", np.float16), ("passage", np.float64)):
        np.save(files / "index.npy", (3 * base.encode(TEXTS, side)).astype(dtype))
        moved = files / f"moved-{side}-{dtype.__name__}.npy"
        code, said, err = run("align", "--apply", files / "index.npy", "--model", out, "--side", side, "--out", moved)
        assert code == 0, err
        assert said.startswith("3 vectors moved by project: ")
        assert np.load(moved).dtype == np.float32
        tolerance = 1e-3 if dtype is np.float16 else 1e-6
        np.testing.assert_allclose(np.load(moved), aligned.encode(TEXTS, side), atol=tolerance)
    assert np.abs(np.load(moved) - base.encode(TEXTS, "passage")).max() > 0.01
    again = ("align", "--apply", files / "index.npy", "--model", out, "--out", moved)
    refused(run(*again), "exists; give another path", "--overwrite")
    assert run(*again, "--overwrite")[0] == 0


def test_queries_whose_language_is_known_are_moved_by_its_own_map(run, files, tiny_folder):
    out, moved = files / "by-language", files / "moved-sw.npy"
    alignment = align(tiny_folder, out, "shift", strength=0.3)
    base = quiet(load_encoder(str(tiny_folder)))
    np.save(files / "queries.npy", base.encode(TEXTS, "query"))
    apply = ("align", "--apply", files / "queries.npy", "--model", out, "--out", moved)
    code, said, err = run(*apply, "--lang", "swa")
    assert code == 0, err
    assert said.startswith("3 vectors moved by the map of sw: ")
    # The map is that of the Swahili pairs alone, all of them.
    document, _, by_language = read_alignment(out)
    assert document["by_language"]["langs"] == ["de", "sw"]
    pairs = [pair for pair in PAIRS if pair.lang == "sw"]
    sources, targets = (
        unit(base.encode([getattr(pair, side) for pair in pairs], "query")) for side in ("translation", "english")
    )
    expected = fit_ridge(sources, targets, 0.3)
    np.testing.assert_allclose(by_language["sw"].matrix, expected.matrix, atol=1e-5)
    np.testing.assert_allclose(np.load(moved), expected(base.encode(TEXTS, "query")), atol=1e-5)
    assert np.abs(by_language["sw"].matrix - by_language["de"].matrix).max() > 0.01
    scores = alignment.by_language.scores
    assert scores.cross_lingual > alignment.choice.base.scores.cross_lingual
    assert scores.english == alignment.choice.base.scores.english, "English queries and all passages stay"
    refused(run(*apply, "--overwrite", "--lang", "ha"), "no map for the language ha: it has de, sw", "--lang")
    refused(run(*apply, "--overwrite", "--lang", "sw", "--side", "passage"), "passages stay", "--side")
    refused(run("align", "--model", tiny_folder, "--rows", "x", "--lang", "sw", "--out", moved), "--apply")


def test_an_index_in_blocks(files, tiny_folder, monkeypatch):
    from clear_ir.align.maps import AffineMap
    from clear_ir.align.stored_vectors import move_vectors

    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(50, 32)).astype(np.float32)
    np.save(files / "index.npy", vectors)
    monkeypatch.setattr("clear_ir.encode.vectors.BLOCK_BYTES", 32 * 4 * 7)  # seven rows
    of_side = AffineMap(draw.normal(size=(32, 32)), draw.normal(size=32))
    assert move_vectors(files / "index.npy", files / "moved.npy", of_side) == 50
    np.testing.assert_allclose(np.load(files / "moved.npy"), of_side(vectors), atol=1e-6)


def test_bad_vectors_are_refused_and_nothing_is_written(run, files, tiny_folder):
    out, moved = files / "aligned", files / "moved.npy"
    assert align(tiny_folder, out, "map").fitted

    def apply(vectors, side="query"):
        np.save(files / "index.npy", vectors, allow_pickle=True)
        result = run("align", "--apply", files / "index.npy", "--model", out, "--side", side, "--out", moved)
        assert not list(files.glob("moved*"))
        return result

    good = np.ones((3, 32), np.float32)
    refused(apply(good, "passage"), "leaves passages where the base has them", "--side")
    refused(apply(good[:, :8]), "has vectors of 8 numbers, but those of the aligned encoder have 32")
    refused(apply(good.astype(int)), "has the type int64", "give a matrix of floating-point numbers")
    refused(apply(good[0]), "the shape (32,)")
    refused(apply(np.array([{}], object)), "is not a .npy file of numbers")
    for value in (np.nan, np.inf, 0.0):
        bad = good.copy()
        bad[1] = value
        refused(apply(bad), "row 1: the vector is zero or has values that are no numbers")
    missing = run("align", "--apply", files / "none.npy", "--model", out, "--side", "query", "--out", moved)
    refused(missing, "does not exist")
    np.save(files / "index.npy", good)
    refused(
        run("align", "--apply", files / "index.npy", "--model", tiny_folder, "--out", moved),
        "is no aligned model, since it has no align.json",
    )
    refused(run("align", "--apply", files / "index.npy", "--rows", "x", "--model", out, "--out", moved), "fits nothing")
    (out / "align.safetensors").write_bytes(b"x")
    refused(apply(good), "align.safetensors cannot be read", "align the encoder again")


def test_no_folder_where_no_map_is_better(run, files, tiny_folder):
    """Of rows whose queries are English already, no map can learn anything."""
    same = [row | {"cross_anchor": row["anchor"], "lang": "sw"} for row in records(["sw"])[:40]]
    write_jsonl(files / "same.jsonl", same)
    out = files / "aligned"
    common = ("--model", tiny_folder, "--rows", files / "same.jsonl", "--no-cache")
    code, said, err = run("align", *common, "--out", out)
    assert code == 0, err
    assert "No map makes the encoder better by the dev questions, so no folder was made" in said
    assert "Fewer than 50 dev questions: the choice may be luck." in said
    assert not out.exists()
    code, said, _ = run("align", *common, "--method", "map", "--out", out)
    assert code == 0
    assert "Warning: by the dev questions map is not better than the base." in said
    assert (out / "align.json").exists()


def test_what_the_command_needs(run, files, tiny_folder):
    common = ("align", "--model", tiny_folder, "--out", files / "m")
    refused(run(*common), "Give --rows ROWS, --translations FILE or --texts FILE")
    write_jsonl(files / "texts.jsonl", [{"text": row["cross_anchor"], "lang": row["lang"]} for row in records()])
    refused(run(*common, "--texts", files / "texts.jsonl"), "nothing to choose by", "--data, --rows")
    write_jsonl(files / "no-lang.jsonl", [{"text": "x", "lang": None}])
    refused(run(*common, "--texts", files / "no-lang.jsonl", "--data", files / "dev"), "line 1: 'lang' is missing")
    assert not (files / "m").exists()


def test_comparison_and_report_say_which_model_was_not_trained(run, files, tiny_folder):
    assert align(tiny_folder, files / "aligned", "map").fitted
    folders = []
    for name, model in (("base", tiny_folder), ("aligned", files / "aligned")):
        folders.append(files / "results" / name)
        evaluate = ("evaluate", "--model", model, "--name", name, "--data", files / "dev", "--split", "dev")
        assert run(*evaluate, "--out", folders[-1], "--no-cache")[0] == 0
    code, said, err = run("compare", *folders)
    assert code == 0, err
    assert "aligned: aligned by map, without training." in said
    assert run("report", *folders, "--out", files / "report")[0] == 0
    for page in ("report.md", "report.html"):
        assert "aligned by map, without training" in (files / "report" / page).read_text()
