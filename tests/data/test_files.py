import json

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.output_files import check_new, new_folder, write_text


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
