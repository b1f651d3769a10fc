import gzip
import json

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.records import read_records
from clear_ir.data.rows import read_parallel_rows


def records_of(path):
    """The records without their places, and the notes."""
    notes = []
    return [record for _, record in read_records(path, notes)], notes


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "saved"])
def test_every_format_gives_the_same_records(tmp_path, name):
    from datasets import Dataset

    records = [{"query": "wo, ist", "passage": 'der "Mond"'}, {"query": "wer\nist", "passage": "das"}]
    path = tmp_path / name
    dataset = Dataset.from_list(records)
    if name.endswith("jsonl"):
        write_jsonl(path, records)
    elif name.endswith("csv"):
        dataset.to_csv(str(path), index=False)
    elif name.endswith("parquet"):
        dataset.to_parquet(str(path))
    else:
        dataset.save_to_disk(str(path))
    assert [record for _, record in read_records(path)] == records


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n\n", "holds no records"),
        ("a.jsonl", b'{"a": 1}\n{"a": \xff}\n', "line 2: byte 6 is not valid UTF-8"),
        ("a.jsonl", b'{"a": 1}\n{"a": 1\n', "line 2: not valid JSON at column"),
        ("a.jsonl", b"[1]\n", "item 1: expected a JSON object, found int"),
        ("a.json", b'[{"a": 1},\n{"a": 2},]\n', "line 2: not valid JSON at column"),
        ("a.json", b'{\n"a": 1,\n"b" 2}', "not valid JSON at column"),
        ("a.json", b"a,b\n1,2\n", "holds no JSON object; give one a line, or name the file by what it is"),
        ("a.json", b'{"train": [{"a": 1}], "test": [{"a": 1}]}', "holds the tables train, test; write each to a file"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2: 3 fields, but the header has 2"),
        ("a.parquet", b"no", "is not a valid Parquet"),
        ("a.xlsx", b"x", "is not a valid Excel file; save it again"),
        ("a.ods", b"x", r"ends in \.ods"),
        ("a.csv.zip", b"x", "unpack it first"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(read_records(tmp_path / name))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "saved/data-00000-of-00001.arrow"])
def test_a_pointer_of_git_lfs_is_named(tmp_path, name):
    from datasets import Dataset

    Dataset.from_list([{"a": "b"}]).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match=rf"{name} is a pointer of git LFS"):
        list(read_records(tmp_path / name.split("/")[0]))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list(read_records(tmp_path / "none.jsonl"))


RECORD = {"query": "wo ist 東京", "id": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps([RECORD, RECORD], indent=1).encode()),
        ("a.jsonl", json.dumps([RECORD, RECORD]).encode()),
        ("a.json", (json.dumps(RECORD) + "\n\n" + json.dumps(RECORD)).encode()),
        ("a.json", (json.dumps(RECORD) + "\r\n" + json.dumps(RECORD) + "\r\n").encode("utf-8-sig")),
        ("a.jsonl", "\n".join([json.dumps(RECORD, ensure_ascii=False)] * 2).encode("utf-16")),
        ("a.json", json.dumps([RECORD, RECORD], ensure_ascii=False).encode("utf-16")),
        ("a.json", json.dumps({k: {"0": v, "1": v} for k, v in RECORD.items()}).encode()),  # pandas.to_json
        ("a.json", json.dumps({"0": RECORD, "1": RECORD}).encode()),
        ("a.json", json.dumps({"version": 1, "data": [RECORD, RECORD]}, indent=1).encode()),
        ("a.json", json.dumps({"columns": [*RECORD], "index": [0, 1], "data": [[*RECORD.values()]] * 2}).encode()),
        ("a.json", json.dumps({"meta": {}, "rows": [{"row_idx": 3, "row": RECORD}] * 2}).encode()),  # the hub's viewer
        ("a.json", json.dumps({"questions": [RECORD, RECORD]}).encode()),
        ("a.json", json.dumps({name: [value, value] for name, value in RECORD.items()}).encode()),
        ("a.json", ((json.dumps(RECORD, indent=1) + "\n") * 2).encode()),  # jq
        ("a.json.gz", json.dumps([RECORD, RECORD]).encode()),  # unpacked by a browser, but not renamed
        ("a.jsonl", gzip.compress(((json.dumps(RECORD) + "\n") * 2).encode())),
        ("a.jsonl.gz", gzip.compress(((json.dumps(RECORD) + "\n") * 2).encode())),
        ("a.json.gz", gzip.compress(json.dumps([RECORD, RECORD]).encode())),
    ],
)
def test_json_of_any_shape(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    records, notes = records_of(tmp_path / name)
    assert records == [RECORD, RECORD]
    assert ["UTF-16" in note for note in notes] == [True] * (content[:1] == b"\xff")


def test_rows_by_id_keep_their_id(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"q1": {"query": "a"}, "q2": {"query": "b", "id": "x"}}))
    assert records_of(tmp_path / "a.json")[0] == [{"q1": {"query": "a"}, "q2": {"query": "b", "id": "x"}}]
    (tmp_path / "a.json").write_text(json.dumps({"q1": {"query": "a"}, "q2": {"query": "b"}}))
    assert records_of(tmp_path / "a.json")[0] == [{"id": "q1", "query": "a"}, {"id": "q2", "query": "b"}]


def test_a_single_record_of_objects_or_lists_is_no_table(tmp_path):
    for record in (
        {"question": {"en": "a", "de": "b"}, "passage": {"en": "c", "de": "d"}},
        {"query": "a", "pos": ["b", "c"], "neg": ["d", "e"], "items": ["f"]},
    ):
        (tmp_path / "a.json").write_text(json.dumps(record))
        assert records_of(tmp_path / "a.json")[0] == [record]


def test_a_saved_dataset_dict_of_one_split(tmp_path):
    from datasets import Dataset, DatasetDict

    one = Dataset.from_list([RECORD])
    DatasetDict(train=one).save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=one, dev=one).save_to_disk(str(tmp_path / "two"))
    assert records_of(tmp_path / "one")[0] == [RECORD]
    with pytest.raises(InputError, match="holds the splits train, dev"):
        records_of(tmp_path / "two")


ODD_TEXTS = [
    "a\u2028b\u2029c\u0085d\x0be\x1cf",
    "nul \0 here",
    "half \ud800 pair",
    "x" * 2_000_000,
    "\ufeff",
    "\\ud800 \n\r",
]


def test_any_text_survives_writing_and_reading(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": text, "\ud83d": 1} for text in ODD_TEXTS])
    read = list(read_records(tmp_path / "a.jsonl"))
    assert [record["text"] for _, record in read] == ODD_TEXTS
    assert [where.rpartition(" ")[2] for where, _ in read] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2: lists or objects are nested too deeply"),
        ('{"query": "x", "b": 1, "query": "y"}', "line 2: an object has 'query' twice"),
        ('{"a": ' + "1" * 5000 + "}", "line 2: a number has thousands of digits"),
    ],
)
def test_json_that_cannot_be_held_is_named_with_its_line(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        list(read_records(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet.bak"])
def test_a_parquet_file_is_known_by_its_content(tmp_path, name):
    from datasets import Dataset

    Dataset.from_list([RECORD, RECORD]).to_parquet(str(tmp_path / name))
    assert records_of(tmp_path / name)[0] == [RECORD, RECORD]


def test_an_excel_file_with_the_name_of_json_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for cells in (["query", "id"], ["wo", 1]):
        book.active.append(cells)
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "a.xlsx").rename(tmp_path / "a.json")
    assert records_of(tmp_path / "a.json")[0] == [{"query": "wo", "id": 1}]


def test_a_record_without_fields_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no column 'query' among none"):
        read_parallel_rows(tmp_path / "a.json", lang="de")
