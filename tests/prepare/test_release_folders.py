"""Releases as they are unpacked: the folder of the files, or any above it."""

import json
import shutil

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.prepare import release
from clear_ir.prepare.registry import data_sets

SQUAD = {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q", "question": "q?", "lang": "de"}]}]}]}
SENTENCES = {"sentences": ["c"], "sentence_breaks": [[0, 1]]}
AFRIQA = {"id": "0", "context": "c", "question_lang": "wa", "question_translated": "who"}
BELEBELE = {"link": "x", "question_number": 1, "flores_passage": "p", "question": "q"}


def squad_r():
    document = json.loads(json.dumps(SQUAD))
    [paragraph] = document["data"][0]["paragraphs"]
    paragraph.update(SENTENCES)
    paragraph["qas"][0]["answers"] = [{"answer_start": 0}]
    return document


#: For each data set: files of its release with their content, and the folder in which they lie.
RELEASES = {
    "afriqa": {
        f"afriqa-main/data/gold_passages/{lang}/gold_span_passages.afriqa.{lang}.{pivot}.test.json": AFRIQA
        for lang, pivot in (("hau", "en"), ("swa", "en"), ("fon", "fr"))
    },
    "mlqa": {
        f"MLQA_V1/{split}/{split}-context-{context}-question-{query}.json": SQUAD
        for split in ("dev", "test")
        for context in ("en", "de")
        for query in ("en", "de")
    },
    "xquad": {f"xquad-master/xquad.{lang}.json": SQUAD for lang in ("en", "de")},
    "xquad-r": {
        f"lareqa-master/{folder}/{lang}.json": squad_r() for folder in ("xquad-r", "mlqa-r") for lang in ("en", "de")
    },
    "belebele": {f"Belebele/{code}.jsonl": BELEBELE for code in ("eng_Latn", "deu_Latn")},
    "ntrex": {
        f"NTREX-main/NTREX-128/newstest2019-{name}.txt": "one\n" for name in ("src.eng", "ref.deu", "ref.eng-GB")
    },
    "xor-tydi": {f"XORQA_site/data/gp_squad_{split}_data.json": SQUAD for split in ("train", "dev")},
}
EXTRA = {"xquad": {"judge": "all"}}


def unpack(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl" or "afriqa" in path.name:
            write_jsonl(path, [content])
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / "__MACOSX" / "xquad.de.json").parent.mkdir()
    for name in files:
        shutil.copy(folder / name, folder / "__MACOSX")
    return folder


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_from_any_of_its_folders(name, tmp_path):
    unpack(tmp_path, RELEASES[name])
    lang = "ha" if name == "afriqa" else "de"
    place = next(path for path in RELEASES[name] if "mlqa-r" not in path).split("/")[:-1]
    hashes = set()
    for depth in range(len(place) + 1):
        values = {"data": tmp_path.joinpath(*place[:depth]), "langs": [lang], **EXTRA.get(name, {})}
        if name == "mlqa" and depth == len(place):
            continue  # The folder of dev has no questions for test.
        prepared = data_sets()[name].prepare(values)
        assert {query.lang for query in prepared.collection.queries.values()} - {"en"} == {lang}
        if name != "afriqa" or depth < len(place):  # One language's folder has fewer passages.
            hashes.add(prepared.collection.data_hash)
    assert len(hashes) == 1


def test_french_passages_are_one_sentence(tmp_path):
    unpack(tmp_path, RELEASES["afriqa"])
    afriqa = data_sets()["afriqa"]
    for folder, langs in ((tmp_path, ["fon"]), (tmp_path / "afriqa-main/data/gold_passages/fon", ["all"])):
        with pytest.raises(InputError, match="The passages of fon in AfriQA are French; only English passages are sup"):
            afriqa.prepare({"data": folder, "langs": langs})


def test_two_releases_below_one_folder_are_ambiguous(tmp_path):
    for version in ("one", "two"):
        unpack(tmp_path / version, RELEASES["xquad"])
    with pytest.raises(
        InputError, match=r"several files xquad.*one/xquad-master and .*two/xquad-master; give the folder"
    ):
        data_sets()["xquad"].prepare({"data": tmp_path, "langs": ["de"]})


def test_a_folder_that_holds_everything_is_not_searched_through(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "MOST_ENTRIES", 20)
    (tmp_path / ".cache").mkdir()
    for i in range(30):
        (tmp_path / f"file{i}").touch()
        (tmp_path / ".cache" / f"xquad.l{i}.json").touch()
    xquad = data_sets()["xquad"]
    with pytest.raises(
        InputError, match="holds more than 20 files and folders; give the folder that holds those of XQ"
    ):
        xquad.prepare({"data": tmp_path, "langs": ["de"]})
    deep = tmp_path / "deep" / "1/2/3/4/5"
    deep.mkdir(parents=True)
    (deep / "xquad.en.json").touch()
    with pytest.raises(InputError, match="holds no files of XQuAD"):
        xquad.prepare({"data": tmp_path / "deep", "langs": ["de"]})
    with pytest.raises(InputError, match="is a file; give the folder"):
        xquad.prepare({"data": deep / "xquad.en.json", "langs": ["de"]})
