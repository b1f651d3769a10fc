import pytest

from clear_ir.files import InputError
from clear_ir.recipe import SHIPPED, load_recipe


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED.glob("*.yaml")])
def test_shipped_recipes_load(name):
    assert load_recipe(name).model


def test_the_papers_recipe_is_the_papers():
    train = load_recipe("paper").train
    assert (train.alpha, train.beta, train.gamma, train.scale, train.learning_rate) == (0.4, 0.2, 0.0, 20, 5e-5)


def test_flags_win_over_the_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("model: m\ntrain:\n  epochs: 7\n  alpha: 0.1\n")
    recipe = load_recipe(str(tmp_path / "r.yaml"), {"train": {"alpha": 0.2}})
    assert (recipe.model, recipe.train.epochs, recipe.train.alpha) == ("m", 7, 0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train:\n  lerning_rate: 1\n", "unknown key 'train.lerning_rate'; did you mean 'learning_rate'"),
        ("trian: {}\n", "unknown key 'trian'"),
        ("train:\n  alpha: 0.9\n", "sum to at most 1"),
        ("train:\n  loss: triplet\n", "train.loss: input should be"),
        ("mine:\n  num_negatives: many\n", "mine.num_negatives: .*found 'many'"),
        ("- a\n", "no mapping of stages"),
        ("train: [\n", "line 2: no valid YAML"),
    ],
)
def test_wrong_recipes_name_file_and_key(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)


def test_unknown_recipe_and_wrong_flag():
    with pytest.raises(InputError, match=r"no recipe 'papre'.*paper"):
        load_recipe("papre")
    with pytest.raises(InputError, match="the flags: unknown key 'train.batchsize'; did you mean 'batch_size'"):
        load_recipe(None, {"train": {"batchsize": 3}})
