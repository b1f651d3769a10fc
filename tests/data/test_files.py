import json

import pytest

from clear_ir.data.files import InputError, read_records
from clear_ir.data.output_files import check_new, new_folder, write_jsonl, write_text


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
        ("a.jsonl", b"[1]\n", "line 1: expected a JSON object, found list"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2: more fields than the header"),
        ("a.csv", b"a,b\n\xff,2\n", "is not valid UTF-8"),
        ("a.parquet", b"no", "is not a valid Parquet"),
        ("a.xlsx", b"x", r"ends in \.xlsx"),
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


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", "done.json") as folder:
        write_text(folder / "half.txt", "x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_results_are_replaced_only_when_allowed_and_only_ours(tmp_path):
    out = tmp_path / "out"
    with new_folder(out, "done.json") as folder:
        write_text(folder / "done.json", "1")
    with pytest.raises(InputError, match="already holds results") as refused:
        check_new(out, "done.json")
    assert "overwrite" in refused.value.settings
    with new_folder(out, "done.json", overwrite=True) as folder:
        write_text(folder / "done.json", "2")
    assert (out / "done.json").read_text() == "2"
    foreign = tmp_path / "letters"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="did not make"):
        check_new(foreign, "done.json", overwrite=True)
    assert json.loads((out / "done.json").read_text()) == 2
