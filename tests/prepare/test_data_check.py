import pytest

from clear_ir.data.rows import ParallelRow
from clear_ir.data.text_languages import is_in_script, other_language
from clear_ir.prepare.atlas import load_atlas
from clear_ir.prepare.data_check import check_data
from clear_ir.prepare.prepared import Prepared

GERMAN = [f"Wie lange braucht man zu Fuß bis zum {n}. Berg, und was sieht man unterwegs?" for n in range(40)]


def rows_with(count=5, label="de", **changes):
    """Rows that are clean, the last with changes."""
    rows = [
        ParallelRow(str(i), f"How far is hill {i} from me?", f"It is {i} hours on foot.", f"p{i}", GERMAN[i], label)
        for i in range(count)
    ]
    rows[-1] = ParallelRow(**{**vars(rows[-1]), **changes})
    return rows


def findings(rows, **fields):
    return {finding.what: finding for finding in check_data(Prepared(rows, **fields)).findings}


def test_clean_data_has_one_line():
    [line] = check_data(Prepared(rows_with(30))).lines()
    assert line.startswith("Data check: 30 English queries (27; 27), 30 cross queries (")
    assert line.endswith("Nothing was found.")


@pytest.mark.parametrize("langs", [["de", "es", "ha", "hi", "id", "ru", "sw"]])
def test_atlas_is_clean(langs):
    assert check_data(load_atlas(langs)).findings == []


@pytest.mark.parametrize(
    ("changes", "what", "shown"),
    [
        ({"cross_query": " how far is hill  4 from ME?"}, "cross queries equal the English query", "how far"),
        ({"cross_query": "How far is the mountain?"}, "cross queries look English", "How far is the mountain?"),
        ({"cross_query": "N/A"}, "cross queries look like a missing value", "N/A"),
        ({"passage": "nan"}, "passages look like a missing value", "nan"),
        ({"query": "-"}, "English queries look like a missing value", "-"),
        ({"passage": "It is <b>far</b>."}, "passages have HTML in them", "<b>"),
        ({"query": "Rock &amp; roll?"}, "English queries have HTML in them", "&amp;"),
        ({"cross_query": "FÃ¼r wen?"}, "cross queries have garbled letters, as from a wrong encoding", "Ã¼"),
        ({"cross_query": "F\ufffdr wen?"}, "cross queries have garbled letters, as from a wrong encoding", "\ufffd"),
        ({"passage": "['It is far.', 'Or near.']"}, "passages look like a list or an object written as text", "['It"),
        ({"cross_query": "日本の首都は"}, "cross queries are not in the script of their language", "日本"),
        ({"lang": "zh"}, "cross queries are not in the script of their language", "Wie lange"),
        ({"passage_id": "p9", "passage": "It is ３ hours on foot."}, "passages repeat another one", "３"),
    ],
)
def test_each_fault_is_found_with_its_line(changes, what, shown):
    found = findings(rows_with(**changes))
    assert list(found) == [what]
    assert found[what].total == 5
    [place] = found[what].places
    assert place.startswith("rows.jsonl, line 5 (")
    assert shown in place


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "Is 3 < 5 & 7 > 4?"},
        {"passage": "AT&T; R&D <3"},
        {"cross_query": "Wer spielte in The Wall von Pink Floyd?"},
        {"cross_query": "¿Año – “niño”? Ça va à Genève, Ærø, Ñandú"},
        {"cross_query": "Energiprojekt AB公司位于何处?", "lang": "zh"},
        {"cross_query": "What you dey do with the money?", "lang": "pcm"},
        {"cross_query": "Gde je Beograd?", "lang": "sr"},
        {"cross_query": "42 km", "lang": "hi"},
    ],
)
def test_what_only_looks_like_a_fault_is_not_found(changes):
    assert findings(rows_with(**changes)) == {}


def test_rows_that_repeat_another_one_differ_by_unicode_form_at_most():
    rows = rows_with(4)
    rows.append(ParallelRow("9", rows[0].query.upper(), rows[0].passage, rows[0].passage_id, rows[0].cross_query, "de"))
    assert findings(rows)["rows repeat another one"].places == [
        "rows.jsonl, line 5 ('Wie lange braucht man zu Fuß bis zum 0. '...)"
    ]
    other = ParallelRow("9", rows[0].query, rows[0].passage, rows[0].passage_id, rows[0].cross_query, "nl")
    assert findings([*rows[:4], other]) == {}


def test_swapped_columns_are_found():
    rows = [ParallelRow(r.id, r.cross_query, r.passage, r.passage_id, r.query, "de") for r in rows_with(12)]
    assert {"English queries do not look English", "cross queries look English"} <= set(findings(rows))


def test_a_label_of_another_language_in_the_same_script_is_found():
    assert set(findings(rows_with(40, label="fi"))) == {"cross queries are said to be fi, but look like de"}
    assert findings(rows_with(40)) == {}
    finnish = [f"Kuinka pitkä matka on kävellen {n}. vuorelle tästä kylästä?" for n in range(20)]
    other, places = other_language("de", [*GERMAN, *finnish])
    assert other == "fi"
    assert places[0] >= 39
    assert len(places) > 10
    assert other_language("nds", GERMAN) is None
    assert other_language("fi", GERMAN[:2]) is None
    assert other_language("de", [*GERMAN, *finnish[:4]]) is None


def test_the_place_is_that_in_the_file_of_the_user():
    rows = rows_with(2, passage="nan")
    found = findings(rows[:1], source_rows=rows, places={"1": "my.csv, line 7"})
    assert found["passages look like a missing value"].places == ["my.csv, line 7 ('nan')"]


@pytest.mark.parametrize(
    ("text", "lang", "fits"),
    [
        ("日本の首都", "ja", True),
        ("中国的首都", "zh-Hant", True), ("서울은 어디", "ko", True), ("Seoul", "ko", False),
        ("Где это?", "ru", True), ("Gde Rim?", "ru", False), ("कहाँ है", "hi", True),
        ("kahan hai", "hi-Latn", True),
        ("kahan hai", "hi", False), ("ab", "hi", True), ("anything", "qaa", True), ("ምንድን ነው", "am", True),
    ],
)  # fmt: skip
def test_scripts(text, lang, fits):
    assert is_in_script(text, lang) == fits


def test_translated_passages_of_the_user_are_checked():
    rows = rows_with(cross_passage="Es sind <b>vier</b> Stunden.")
    assert findings(rows) == {}  # of a data set, whose collections have them
    found = findings(rows, source_rows=rows)
    assert list(found) == ["passages have HTML in them"]
    assert found["passages have HTML in them"].total == 6
    rows = rows_with(cross_passage=" it is 4 hours on  foot.")
    assert list(findings(rows, source_rows=rows)) == ["passages equal the English passage"]
