"""Merging weights: the line itself, the sweep, the choice, and the command."""

import json
import subprocess
import sys

import pytest
import torch
from tiny import make_encoder, quiet

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.files import InputError
from clear_ir.encode.mixed_weights import merge_encoders
from clear_ir.encode.model_loading import load_encoder
from clear_ir.merge.interpolation import MergePoint, best_point, sweep_weights
from clear_ir.merge.settings import parse_weights


@pytest.fixture
def collection():
    words = "river desert moon bread bank court drum tree bird metal light sound".split()
    passages = [Text(f"p{i}", f"the {word} is wide", "en") for i, word in enumerate(words)]
    questions = [(f"q{i}", f"p{i}", {"en": f"what {word}", "sw": f"mto {word}"}) for i, word in enumerate(words)]
    return make_collection("tiny", passages, questions)


def test_the_line_between_two_encoders():
    base, model = make_encoder(seed=0), make_encoder(seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merged = merge_encoders(base, model, 0.25)
    moved = 0
    for name, tensor in merged.state_dict().items():
        if tensor.is_floating_point():
            expected = 0.75 * base.state_dict()[name] + 0.25 * model.state_dict()[name]
            torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-12)
            moved += not torch.equal(tensor, model.state_dict()[name])
    assert moved > 5
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items()), (
        "the model is untouched"
    )
    for weight, end in ((0.0, base), (1.0, model)):
        texts = ["river moon", "bread"]
        torch.testing.assert_close(
            merge_encoders(base, model, weight).encode(texts, convert_to_tensor=True),
            end.encode(texts, convert_to_tensor=True),
        )


def test_half_precision_is_mixed_in_double():
    base, model = make_encoder(double=False).half(), make_encoder(double=False, seed=1).half()
    merged = merge_encoders(base, model, 0.3)
    name = next(key for key in merged.state_dict() if key.endswith("query.weight"))
    exact = 0.7 * base.state_dict()[name].double() + 0.3 * model.state_dict()[name].double()
    assert torch.equal(merged.state_dict()[name], exact.half())


def test_other_architectures_are_refused():
    base, model = make_encoder(), make_encoder()
    model[0].auto_model.embeddings.word_embeddings.weight = torch.nn.Parameter(torch.zeros(3, 32).double())
    with pytest.raises(InputError, match="cannot be merged: .*word_embeddings.* has the shape"):
        merge_encoders(base, model, 0.5)


def test_a_sweep_is_what_evaluating_each_would_give(collection):
    base, model = make_encoder(double=False), make_encoder(double=False, seed=1)
    points = sweep_weights(quiet(base), model, [0.0, 0.5, 1.0], collection)
    assert [point.weight for point in points] == [0.0, 0.5, 1.0]
    [alone] = sweep_weights(quiet(merge_encoders(base, model, 0.5)), model, [0.0], collection)
    assert alone.scores == points[1].scores
    assert points[0].scores != points[2].scores, "two equal encoders would show nothing"
    assert all(point.cross_lingual == point.scores["q-sw.p-en"] for point in points)
    english_only = make_collection("en", [Text("p", "river", "en")], [("q", "p", {"en": "river"})])
    with pytest.raises(InputError, match="no direction across languages"):
        sweep_weights(quiet(base), model, [0.5], english_only)


def test_the_best_that_keeps_english():
    scores = [(0.0, 0.90, 0.20), (0.3, 0.91, 0.30), (0.6, 0.896, 0.40), (0.8, 0.88, 0.45), (1.0, 0.85, 0.44)]
    points = [MergePoint(*values, {"q-en.p-en": values[1]}) for values in scores]
    assert best_point(points, 0.5).weight == 0.6
    assert best_point(points, 0.0).weight == 0.3
    assert best_point(points, 10).weight == 0.8
    with pytest.raises(ValueError, match="weight 0"):
        best_point(points[1:], 0.5)
    # Swahili within itself loses two points at the weight 0.6, so the mean within languages loses more than one.
    within = {0.0: 0.8, 0.3: 0.8, 0.6: 0.78}
    points = [MergePoint(w, en, sw, {"q-en.p-en": en, "q-sw.p-sw": within.get(w, 0.5)}) for w, en, sw in scores]
    assert best_point(points, 0.5).weight == 0.3


def test_weights_in_words():
    assert parse_weights("0:1:0.25") == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert parse_weights("0.3, 0.5") == [0.3, 0.5]
    assert parse_weights("0:0.5:0.3") == [0.0, 0.3], "never past its end"
    assert parse_weights("0:0.6:0.2") == [0.0, 0.2, 0.4, 0.6]
    for wrong in ("0:1", "0:1:0", "a", "", "1.5", "0:2:0.5", "1:0:0.1"):
        with pytest.raises(InputError, match="FROM:TO:STEP"):
            parse_weights(wrong)


def test_the_command(tmp_path, tiny_folder, collection):
    other = tmp_path / "other"
    make_encoder(double=False, seed=1).save_pretrained(str(other), create_model_card=False)
    write_collection(tmp_path / "data", collection)

    def run(*arguments):
        command = [sys.executable, "-c", "from clear_ir.cli.app import main; main()", "merge", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    out = tmp_path / "merged"
    done = run(tiny_folder, other, "--data", tmp_path / "data", "--weights", "0:1:0.5", "--out", out)
    assert done.returncode == 0, done.stderr
    made = json.loads((out / "merge.json").read_text())
    assert [point["weight"] for point in made["points"]] == [0.0, 0.5, 1.0]
    assert f"| {made['weight']:g} *" in done.stdout
    assert "<svg" in (out / "merge.svg").read_text()
    expected = merge_encoders(load_encoder(str(tiny_folder)), load_encoder(str(other)), made["weight"])
    found = load_encoder(str(out)).encode(["river"], convert_to_tensor=True)
    torch.testing.assert_close(found, expected.encode(["river"], convert_to_tensor=True))
    again = run(tiny_folder, other, "--weights", "0.5", "--out", out)
    assert again.returncode == 2
    assert "already holds" in again.stderr
    assert len(again.stderr.strip().splitlines()) == 1
    assert run(tiny_folder, other, "--weights", "0.5", "--out", out, "--overwrite").returncode == 0
    assert json.loads((out / "merge.json").read_text())["points"] == []
    lacking = run(tiny_folder, other, "--out", tmp_path / "none")
    assert lacking.returncode == 2
    assert "give --data COLLECTION to choose by" in lacking.stderr
    assert not (tmp_path / "none").exists()
