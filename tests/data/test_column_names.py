import pytest

from clear_ir.data.column_names import choose_columns
from clear_ir.data.english import looks_english
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import PARALLEL_NAMES, read_parallel_rows
from clear_ir.data.training_rows import TRAINING_NAMES

EN, DE, PASSAGE = "Where is the moon now?", "Wo steht der Mond jetzt?", "It is far away from us."
VALUES = {"e": EN, "d": DE, "p": PASSAGE, "l": "de", "i": "17"}


def columns_of(mapping=None, names=PARALLEL_NAMES, **kinds):
    """Choose among columns, each with the letter of what it holds in VALUES."""
    record = {name: VALUES[kind] for name, kind in kinds.items()}
    return choose_columns("a.csv, line 2", [record] * 3, mapping or {}, names)


@pytest.mark.parametrize(
    ("columns", "query", "passage", "cross", "lang"),
    [
        ("query:e passage:p cross_query:d lang:l", "query", "passage", "cross_query", "lang"),
        ("question:e context:p question_de:d", "question", "context", "question_de", "de"),
        ("question_en:e context:p question_de:d", "question_en", "context", "question_de", "de"),
        ("en_question:e doc:p de_question:d locale:l", "en_question", "doc", "de_question", "locale"),
        ("query_en:e document:p translation:d language:l", "query_en", "document", "translation", "language"),
        ("query_en:e passage:p query:d lang:l", "query_en", "passage", "query", "lang"),
        ("Question:e Answer:p Translation:d Lang:l", "Question", "Answer", "Translation", "Lang"),
        ("question:e answer:p context:p question_de:d", "question", "context", "question_de", "de"),
        ("question:e answer_passage:p translated:d", "question", "answer_passage", "translated", None),
        ("en:e de:d text:p", "en", "text", "de", "de"),
        ("english:e german:d text:p", "english", "text", "german", "de"),
        ("question_english:e question_german:d text:p", "question_english", "text", "question_german", "de"),
        ("questionEn:e questionDe:d contextText:p", "questionEn", "contextText", "questionDe", "de"),
        ("q_eng_Latn:e q_deu_Latn:d p:p passage:p", "q_eng_Latn", "passage", "q_deu_Latn", "de"),
        ("question:e question_pt_br:d passage:p", "question", "passage", "question_pt_br", "pt"),
        ("translation_en:e translation_de:d passage:p", "translation_en", "passage", "translation_de", "de"),
        ("question:d translated_question:e context:p lang:l", "translated_question", "context", "question", "lang"),
        ("q_lang:d q_translated:e context:p title:i", "q_translated", "context", "q_lang", None),
        ("question:e frage:d passage:p", "question", "passage", "frage", None),
        ("query_id:i doc_id:i query:e document:p query_de:d", "query", "document", "query_de", "de"),
        ("Unnamed__0:i query:e passage_en:p passage_de:d query_de:d", "query", "passage_en", "query_de", "de"),
        ("query:e question_no:i passage:p cross_query:d", "query", "passage", "cross_query", None),
    ],
)  # fmt: skip
def test_columns_are_guessed_from_names_and_values(columns, query, passage, cross, lang):
    chosen = columns_of(**dict(column.split(":") for column in columns.split()))
    assert [chosen.names.get(name) for name in ("query", "passage", "cross_query")] == [query, passage, cross]
    assert lang in (chosen.names.get("lang"), chosen.lang)
    said = f"Columns: query = {query}, passage = {passage}, cross_query = {cross}"
    assert chosen.note.startswith(said) == (query != "query" or passage != "passage" or cross != "cross_query")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("q:e passage:p q_de:d q_sw:d", "cross_query may be any of the columns q_de, q_sw; map"),
        ("question:e query_text:e q:e passage:p", "query may be any of the columns question, q"),
        ("query:e context:p document:p cross_query:d", "passage may be any of the columns context, document"),
        ("query:e passage:p cross_query:d language:l locale:l", "lang may be any of the columns language, locale"),
    ],
)  # fmt: skip
def test_a_guess_that_is_not_clear_lists_the_columns(columns, message):
    with pytest.raises(InputError, match=message) as refused:
        columns_of(**dict(column.split(":") for column in columns.split()))
    assert refused.value.settings == ("mapping",)


def test_what_the_user_maps_is_not_guessed():
    kinds = {"question": "e", "query": "e", "context": "p", "question_de": "d", "question_sw": "d"}
    chosen = columns_of({"query": "question", "cross_query": "question_sw"}, **kinds)
    assert chosen.names == {"query": "question", "cross_query": "question_sw", "passage": "context"}
    assert chosen.lang == "sw"
    assert columns_of({"cross_query": " Question_SW"}, **kinds).names["cross_query"] == "question_sw"
    with pytest.raises(InputError, match="no column 'frage' among question, query, context"):
        columns_of({"cross_query": "frage"}, **kinds)


def test_a_language_that_is_known_is_not_looked_for(tmp_path):
    record = {"query": EN, "passage": PASSAGE, "cross_query": DE, "language": "de", "locale": "de"}
    write_jsonl(tmp_path / "a.jsonl", [record])
    assert [row.lang for row in read_parallel_rows(tmp_path / "a.jsonl", lang="sw")[0]] == ["sw"]


@pytest.mark.parametrize(
    ("columns", "translated"),
    [
        ("query:e passage:p cross_query:d cross_passage:d lang:l", "cross_passage"),
        ("query:e passage:p cross_query:d cross_passage:d passage_de:d lang:l", "cross_passage"),
        ("question:e context:p question_de:d context_de:d", "context_de"),
        ("question_en:e context_en:p question_de:d context_de:d context_fr:d", "context_de"),
        ("question:e context:p question_de:d translated_context:d", "translated_context"),
        ("question:e context:p translation:d context_de:d lang:l", "context_de"),
        ("question:e context:p translation:d context_de:d context_fr:d lang:l", None),
        ("question:e context:p question_de:d context_fr:d", None),
        ("question:e context:p question_de:d answer_de:d", None),
        ("question:e context:p question_de:d context_de:i", None),
        ("question:e context:p question_de:d", None),
    ],
)  # fmt: skip
def test_a_translated_passage_is_found_beside_its_passage(columns, translated):
    chosen = columns_of(**dict(column.split(":") for column in columns.split()))
    assert chosen.names.get("cross_passage") == translated
    assert ("cross_passage = " in chosen.note) == (bool(chosen.note) and translated is not None)


def test_a_translated_passage_is_found_beside_one_that_the_user_maps():
    kinds = {"question": "e", "context": "p", "answer": "p", "frage": "d", "context_de": "d", "answer_de": "d"}
    chosen = columns_of({"passage": "answer", "cross_query": "frage"}, **kinds)
    assert chosen.names["cross_passage"] == "answer_de"
    assert columns_of({"cross_passage": "context_de"}, **kinds).names["cross_passage"] == "context_de"


def test_training_rows_have_their_own_names():
    chosen = columns_of(names=TRAINING_NAMES, query="e", pos="p", cross_query="d")
    assert chosen.names == {"anchor": "query", "positive": "pos", "cross_anchor": "cross_query"}
    assert columns_of(names=TRAINING_NAMES, anchor="e", positive="p", cross_anchor="d").note == ""


@pytest.mark.parametrize(
    "text",
    [EN, PASSAGE, "Who wrote Hamlet?", "What should I know about bread?", "What is the name of the river in Paris?"],
)
def test_english_is_recognized(text):
    assert looks_english(text)


@pytest.mark.parametrize(
    "text",
    [DE, "Wer hat The Wall geschrieben?", "", "Hamlet", "Was ist in Rom?", "¿Qué hora es en Lima?",
     "Mto gani ni mrefu?", "日本の首都は?", "Hvem var den første?", "Wie is de koning van Nederland?", "Kto to jest?"],
)  # fmt: skip
def test_other_languages_are_not_english(text):
    assert not looks_english(text)
