import gzip
import io

import pytest
from openpyxl import Workbook

from clear_ir.data.files import InputError
from clear_ir.data.records import read_records

ROWS = [
    {"query": "Where is it?", "cross_query": "Wo ist das Öl, und wie groß ist es?"},
    {"query": "Who is she?", "cross_query": "Für wen\nist die Brücke schön?"},
]
PLAIN = """query,cross_query
Where is it?,"Wo ist das Öl, und wie groß ist es?"
Who is she?,"Für wen
ist die Brücke schön?"
"""


def read(path):
    """Records without their places, and the notes without the path."""
    notes = []
    records = [record for _, record in read_records(path, notes)]
    return records, [note.removeprefix(str(path)).lstrip(": ") for note in notes]


def with_delimiter(delimiter):
    return PLAIN.replace("query,cross", f"query{delimiter}cross").replace("?,", f"?{delimiter}")


@pytest.mark.parametrize(
    ("name", "content", "notes"),
    [
        ("a.csv", PLAIN.encode(), []),
        ("a.csv", PLAIN.encode("utf-8-sig"), []),
        ("a.CSV", PLAIN.replace("\n", "\r\n").replace("wen\r", "wen").encode(), []),
        ("a.csv", with_delimiter(";").encode(), ["fields are separated by a semicolon."]),
        ("a.csv", ("sep=;\r\n" + with_delimiter(";")).encode(), ["fields are separated by a semicolon."]),
        ("a.csv", with_delimiter("\t").encode(), ["fields are separated by a tab."]),
        ("a.csv", with_delimiter("|").encode(), ["fields are separated by a vertical bar."]),
        ("a.tsv", with_delimiter("\t").encode(), []),
        ("a.txt", with_delimiter("\t").encode("utf-16"), ["is not UTF-8 but UTF-16", "separated by a tab."]),
        ("a.tsv", with_delimiter("\t").encode("utf-16-le"), ["read as utf-16-le"]),
        ("a.csv", PLAIN.encode("cp1252"), ["read as cp1252: 'Where is it?,\"Wo ist das Öl, und wie groß ist es?\"'"]),
        ("a.csv", PLAIN.encode("mac_roman"), ["read as mac_roman"]),
        ("a.csv.gz", gzip.compress(PLAIN.encode()), []),
        ("a.tsv.gz", gzip.compress(with_delimiter("\t").encode()), []),
        # As Excel writes columns and lines that once held something.
        ("a.csv", PLAIN.replace("_query\n", "_query,,\n").encode() + b",,,\n , \n", ["empty lines left out: 2."]),
        ("a.csv", b"\n,,\n" + PLAIN.replace("query,", " query ,").encode(), []),
    ],
)
def test_tables_as_programs_write_them(tmp_path, name, content, notes):
    (tmp_path / name).write_bytes(content)
    records, found = read(tmp_path / name)
    assert records == ROWS
    assert len(found) == len(notes)
    assert all(note in text for note, text in zip(notes, found, strict=True))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Où est-ce que c’est déjà été"),
        ("cp1252", "¿Dónde está el niño?"),
        ("cp1252", "It’s there – “now”"),
        ("cp1251", "Где находится река Волга сегодня"),
        ("koi8_r", "Где находится река Волга и почему она такая длинная"),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
        ("cp1250", "Gdzie jest żółta łódź źrebię"),
        ("cp1254", "Türkiye başkenti neresi ağaç İstanbul ışık"),
        ("cp1253", "Πού είναι η Αθήνα"),
        ("cp1256", "أين تقع القاهرة"),
        ("shift_jis", "日本の首都はどこですか"),
        ("gb18030", "中国的首都在哪里,黄河有多长,长城是什么时候修建的"),
    ],
)
def test_code_pages_are_recognized(tmp_path, encoding, text):
    lines = f'query,cross_query\nWhere is it?,"{text}"\n' + f'Who is she?,"{text}"\n' * 30
    (tmp_path / "a.csv").write_bytes(lines.encode(encoding))
    records, [note] = read(tmp_path / "a.csv")
    assert {record["cross_query"] for record in records} == {text}
    assert "is not UTF-8" in note


@pytest.mark.parametrize(
    "word",
    "Müll Où est Köln São Größe Straße Öl Übung Ålesund Fußball Niño Zürich naïve Ærø € “so” C’est".split(),
)
def test_one_word_is_enough_for_the_usual_code_page(tmp_path, word):
    lines = f"query,cross_query\nWhere is it?,{word} is it?\nWho is she?,Wer war das?\n"
    (tmp_path / "a.csv").write_bytes(lines.encode("cp1252"))
    assert read(tmp_path / "a.csv")[0][0]["cross_query"] == f"{word} is it?"


def test_quotes_that_are_not_csv_are_kept(tmp_path):
    (tmp_path / "a.tsv").write_text('query\tpassage\nwho\t"Hello" he said\nwhat\tan "inch" or 5"\n')
    records, [note] = read(tmp_path / "a.tsv")
    assert [record["passage"] for record in records] == ['"Hello" he said', 'an "inch" or 5"']
    assert "read as part of the text" in note
    (tmp_path / "b.csv").write_text('query,passage\nwho,"He said \\"hi, you\\"."\n')
    records, [note] = read(tmp_path / "b.csv")
    assert records[0]["passage"] == 'He said "hi, you".'
    assert "backslash" in note


def test_very_long_and_odd_fields(tmp_path):
    text = "long " * 100_000 + "\u2028 and \u0085 lines"
    (tmp_path / "a.csv").write_text(f"query,passage\n0,{text}\n", encoding="utf-8")
    assert read(tmp_path / "a.csv") == ([{"query": "0", "passage": text}], [])


def test_the_line_of_a_record_is_its_first(tmp_path):
    (tmp_path / "a.csv").write_text(PLAIN + "x,y\n")
    assert [where.rpartition(", ")[2] for where, _ in read_records(tmp_path / "a.csv")] == [
        "line 2",
        "line 3",
        "line 5",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"query,query\na,b\n", "line 1: two columns are named 'query'"),
        (b"query,passage\n", "holds no records below its header"),
        (b"\n\n", "holds no records"),
        (b'query,passage\na,"b\nc,d\n', "line 2: not valid CSV"),
        (b'query,passage\na,b\na,"b" c\n', "line 3: not valid CSV"),
        (b"\xd0\xcf\x11\xe0rest", "old or a protected Excel file"),
        (b" <html><table><tr><td>query</td></tr></table>", "holds HTML or XML and no table"),
        (b'[{"query": "a"}]', "holds JSON and no table"),
        (b"PK\x03\x04rest", "is not a valid Excel file"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.csv")


def test_a_name_of_two_lines_is_one_line(tmp_path):
    (tmp_path / "a.csv").write_text('"query\n(English)",passage\na,b\n')
    assert read(tmp_path / "a.csv")[0] == [{"query (English)": "a", "passage": "b"}]


def test_short_lines_lack_their_last_fields(tmp_path):
    (tmp_path / "a.csv").write_text("query,passage\na\n")
    assert read(tmp_path / "a.csv")[0] == [{"query": "a", "passage": None}]


def workbook(**sheets):
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_excel(tmp_path, name):
    rows = [["query ", "n", None], ["what", 0, None], [None, None, None], ["a\nb_x000D_", None, None]]
    (tmp_path / name).write_bytes(workbook(Empty=[], Data=rows, More=[["x"]]))
    records, notes = read(tmp_path / name)
    assert records == [{"query": "what", "n": 0}, {"query": "a\nb\r", "n": None}]
    assert notes == ["the sheet 'Data' was read, but not 'More'.", "empty lines left out: 1."]
    places = [where for where, _ in read_records(tmp_path / name)]
    assert places[1].endswith("sheet 'Data', row 4")


def test_excel_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.xlsx").write_bytes(workbook(Data=[["query"], ["what"]]))
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'clear-ir\[excel\]'"):
        read(tmp_path / "a.xlsx")
