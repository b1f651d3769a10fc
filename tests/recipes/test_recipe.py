import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny import make_encoder, make_training_rows

from clear_ir.data.files import InputError
from clear_ir.encode.known_prompts import add_known_prompts
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.recipes.recipe import SHIPPED, load_recipe
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED.glob("*.yaml")])
def test_shipped_recipes_load(name):
    assert load_recipe(name).model


def test_the_papers_recipe_is_the_papers():
    train = load_recipe("paper").train
    assert (train.alpha, train.beta, train.gamma, train.scale, train.learning_rate) == (0.4, 0.2, 0.0, 20, 5e-5)
    assert (train.weights["guard"], train.divergence) == (0.0, "kl")
    assert (train.side, train.loss, train.distil) == ("both", "clear", 0.0)


def test_the_small_recipe_has_the_default_objective_of_both_sides():
    train, default = load_recipe("small").train, TrainingSettings(side="both")
    assert (train.side, train.weights, train.divergence) == ("both", default.weights, default.divergence)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("bge-m3", "BAAI/bge-m3"),
        ("multilingual-e5-small", "intfloat/multilingual-e5-small"),
        ("multilingual-e5-base", "intfloat/multilingual-e5-base"),
        ("multilingual-e5-large", "intfloat/multilingual-e5-large"),
        ("gte-multilingual-base", "Alibaba-NLP/gte-multilingual-base"),
        ("qwen3-embedding-0.6b", "Qwen/Qwen3-Embedding-0.6B"),
        ("embeddinggemma-300m", "google/embeddinggemma-300m"),
    ],
)
def test_a_model_s_recipe_has_the_default_objective_and_says_what_was_measured(name, model):
    recipe, default = load_recipe(name), TrainingSettings()
    assert recipe.model == model
    train = recipe.train
    assert (train.side, train.loss, train.weights) == ("queries", "infonce-both", default.weights)
    assert "measured" in (SHIPPED / f"{name}.yaml").read_text()
    assert f"| {name} " in (SHIPPED.parent.parent / "docs" / "settings.md").read_text()


def test_the_recipe_of_embeddinggemma_never_trains_in_float16():
    assert load_recipe("embeddinggemma-300m").train.precision == "bf16"


@pytest.mark.parametrize("name", ["paper-multilingual-e5", "paper-gte"])
def test_the_papers_other_encoders_get_the_papers_settings(name):
    assert load_recipe(name).train == load_recipe("paper").train
    assert load_recipe(name).mine == load_recipe("paper").mine


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("paper", "XLMRoberta"),
        ("paper-multilingual-e5", "XLMRoberta"),
        ("paper-gte", "Gte"),
        ("multilingual-e5-small", "Bert"),
        ("gte-multilingual-base", "Gte"),
        ("qwen3-embedding-0.6b", "Qwen3"),
        ("embeddinggemma-300m", "Gemma3Text"),
    ],
)
def test_recipes_train_a_tiny_model_of_their_architecture(tmp_path, name, architecture):
    if not hasattr(transformers, f"{architecture}Model"):
        pytest.skip(f"transformers {transformers.__version__} has no {architecture}Model")
    tokenizer = make_encoder().tokenizer
    is_decoder = architecture in ("Qwen3", "Gemma3Text")
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=514,
        pad_token_id=0,
        **({"num_key_value_heads": 2, "head_dim": 8} if is_decoder else {}),
    )
    torch.manual_seed(0)
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(tmp_path / "transformer")
    tokenizer.save_pretrained(tmp_path / "transformer")
    modules = [Transformer(str(tmp_path / "transformer")), Pooling(32, pooling_mode="mean" if is_decoder else "cls")]
    encoder = SentenceTransformer(modules=modules, device="cpu")
    recipe = load_recipe(name)
    add_known_prompts(encoder, recipe.model)
    families = {"multilingual-e5": "query: ", "qwen3": "Instruct: ", "embeddinggemma": "task: search result | query: "}
    expected = next((prompt for family, prompt in families.items() if family in name), "")
    assert encoder.prompts["query"].startswith(expected)
    assert bool(encoder.prompts["query"]) == bool(expected)
    encoder.save_pretrained(str(tmp_path / "base"))
    short = recipe.train.model_copy(update={"batch_size": 8, "max_steps": 3, "precision": "fp32", "eval_steps": 3})
    log = train_model(str(tmp_path / "base"), make_training_rows(n=5), short, tmp_path / "m")
    assert len([entry for entry in log if "loss" in entry]) == 3
    trained = load_encoder(str(tmp_path / "m"))
    assert weights_hash(trained) != weights_hash(encoder)
    assert trained.prompts["query"] == encoder.prompts["query"], "the prompts stay with the model"


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
        ("mine:\n  num_negatives: many\n", "mine.num_negatives: .*the value is 'many'"),
        ("- a\n", "is not a mapping of stages"),
        ("train: [\n", "line 2: not valid YAML"),
        (f"train:\n  seed: {'9' * 5000}\n", "not valid YAML: a number has thousands of digits"),
        ("train:\n  seed: 2024-13-45\n", "not valid YAML: month must be in 1..12"),
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
    with pytest.raises(InputError, match="^Unknown key 'train.batchsize'; did you mean 'batch_size'"):
        load_recipe(None, {"train": {"batchsize": 3}})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch_size": 1}, "batch_size is 1; it should be greater than or equal to 2."),
        ({"loss": "x"}, "loss is 'x'; choose among clear, infonce, infonce-en, infonce-both, infonce-symmetric."),
        (
            {"alpha": 0.9, "beta": 0.5, "gamma": 0.1},
            "alpha + beta + gamma is 1.5; the forward term gets the rest of 1, so",
        ),
        ({"mini_batch_num_tokens": "x"}, "mini_batch_num_tokens is 'x'; give a count of at least 1, or auto."),
    ],
)
def test_a_wrong_flag_is_named_as_it_is_given(settings, sentence):
    with pytest.raises(InputError) as caught:
        load_recipe(None, {"train": settings})
    assert str(caught.value).startswith(sentence)
    assert not str(caught.value).endswith("..")
