import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tiny import make_encoder

from clear_ir.data.output_files import write_text
from clear_ir.encode.known_prompts import family_prompts
from clear_ir.encode.model_loading import load_encoder, prompt_of

E5 = {"query": "query: ", "document": "passage: "}


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("BAAI/bge-base-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("google/embeddinggemma-300m", "task: search result | query: ", "title: none | text: "),
    ],
)
def test_prompts_of_families(name, query, document):
    assert family_prompts(name) == {"query": query, "document": document}


@pytest.mark.parametrize("name", ["BAAI/bge-m3", "Alibaba-NLP/gte-multilingual-base", "minilm", "my-e5-small-thing"])
def test_other_models_have_none(name):
    assert family_prompts(name) == {}


def saved(folder, **prompts):
    encoder = make_encoder(double=False)
    encoder.prompts |= prompts
    encoder.save_pretrained(str(folder))
    write_text(folder / "README.md", "# A model\n")
    return folder


def test_a_folder_with_the_models_name_gets_its_prompts_with_a_notice(tmp_path, caplog):
    assert load_encoder(str(saved(tmp_path / "multilingual-e5-small"))).prompts == E5
    assert "it gets those of the model that its name says" in caplog.text


def test_a_folder_of_the_hubs_cache_and_a_card_with_the_name_are_certain(tmp_path, caplog):
    cached = saved(tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "abc")
    assert load_encoder(str(cached)).prompts == E5
    own = saved(tmp_path / "mine")
    write_text(own / "README.md", "---\nmodel-index:\n- name: multilingual-e5-small\n---\n# E5\n")
    assert load_encoder(str(own)).prompts == E5
    assert not caplog.text


def test_an_adapted_model_keeps_its_own_and_a_notice_says_so(tmp_path, caplog):
    folder = saved(tmp_path / "e5-small")
    write_text(folder / "README.md", "---\nbase_model: intfloat/e5-small\n---\n")
    assert not any(load_encoder(str(folder)).prompts.values())
    assert "though its base intfloat/e5-small has" in caplog.text


def test_prompts_of_the_files_win(tmp_path, caplog):
    assert load_encoder(str(saved(tmp_path / "e5-small", query="ask: "))).prompts["query"] == "ask: "
    assert not caplog.text


@pytest.mark.parametrize(
    "card", ["---\n[: no\n---\n", "---\n- a list\n---\n", "---\nbase_model: [3]\nmodel-index: 4\n---\n", "---\n"]
)
def test_a_card_that_cannot_be_read_says_nothing(tmp_path, card):
    folder = saved(tmp_path / "mine")
    write_text(folder / "README.md", card)
    assert not any(load_encoder(str(folder)).prompts.values())


@pytest.mark.parametrize("other", ["passage", "corpus"])
def test_a_passage_prompt_of_another_name_is_that_of_documents(tmp_path, caplog, other):
    encoder = make_encoder(double=False)
    encoder.prompts = {"query": "query: ", other: "river : "}
    encoder.save_pretrained(str(tmp_path / "m"))
    assert SentenceTransformer(str(tmp_path / "m"), device="cpu").prompts["document"] == "", "the library fills it in"
    loaded = load_encoder(str(tmp_path / "m"))
    assert prompt_of(loaded, "passage") == "river : "
    np.testing.assert_allclose(loaded.encode_document(["moon"]), encoder.encode(["river : moon"]), atol=1e-6)
    assert f"under the name {other}" in caplog.text
    caplog.clear()
    loaded.save_pretrained(str(tmp_path / "again"))
    assert prompt_of(load_encoder(str(tmp_path / "again")), "passage") == "river : "
    assert not caplog.text
