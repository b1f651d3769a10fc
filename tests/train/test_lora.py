"""LoRA: the adapter alone is trained, and the model is the base plus what it learned."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tiny import WORDS, make_encoder, make_training_rows, settings

from clear_ir.data.files import InputError
from clear_ir.data.rows import Translation
from clear_ir.encode.adapters import ADAPTER_FILE, add_lora, train_adapters, with_merged_adapters
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.encode.sides import add_to_sides
from clear_ir.encode.two_encoders import join_encoders
from clear_ir.serve.hub import Upload
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.starting_model import load_to_train

pytest.importorskip("peft", reason="the extra lora is not installed")

TEXTS = [" ".join(WORDS[:20]), "moon", "river desert"]
LORA = {"lora_r": 4, "learning_rate": 1e-2}


def losses(log):
    return [entry["loss"] for entry in log if "loss" in entry]


def tensors(folder):
    return load_file(folder / "model.safetensors")


def shake(encoder, seed=0):
    """Give every weight of the adapter a random value: a new one adds nothing."""
    generator = torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def test_the_embeddings_are_those_of_weights_with_the_product_added():
    base = make_encoder()
    adapted = make_encoder()
    add_lora(adapted, 3, 12.0, layers=["query", "dense"])
    np.testing.assert_array_equal(adapted.encode(TEXTS), base.encode(TEXTS))
    shake(adapted)
    state = adapted.state_dict()
    with torch.no_grad():
        for name, weight in base.named_parameters():
            prefix = name.removesuffix(".weight")
            if f"{prefix}.lora_A.default.weight" in state:
                a, b = (state[f"{prefix}.lora_{side}.default.weight"] for side in "AB")
                assert a.shape[0] == 3
                weight += 12.0 / 3 * (b @ a).to(weight)
    changed = [n for n, w in make_encoder().named_parameters() if not torch.equal(w, base.get_parameter(n))]
    assert len(changed) == 2 * (1 + 3), "of both layers query, and dense after attention and twice in the feed-forward"
    assert not any("pooler" in name for name in changed)
    np.testing.assert_allclose(adapted.encode(TEXTS), base.encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(with_merged_adapters(adapted).encode(TEXTS), base.encode(TEXTS), atol=1e-5)


def test_adapters_that_differ_in_their_scale_alone_have_other_hashes():
    encoders = [make_encoder() for _ in range(3)]
    for encoder, alpha in zip(encoders, (4, 4, 8), strict=True):
        add_lora(encoder, 2, alpha)
        shake(encoder)
    first, same, other = map(weights_hash, encoders)
    assert first == same != other


@pytest.mark.parametrize("merge_lora", [False, True])
def test_the_folder_loads_in_sentence_transformers(tmp_path, tiny_folder, monkeypatch, merge_lora):
    monkeypatch.chdir(tiny_folder.parent)  # its name is relative, and must be found from elsewhere, too
    log = train_model(
        tiny_folder.name,
        make_training_rows(),
        settings(**LORA, max_steps=30, merge_lora=merge_lora, distil_steps=3, dev_share=0),
        tmp_path / "m",
        translations=[Translation("river", "mto")],
    )
    monkeypatch.chdir(tmp_path)
    assert np.mean(losses(log)[-5:]) < np.mean(losses(log)[:5]) - 0.05
    assert log[0]["vocabulary"] == ""
    model = SentenceTransformer(str(tmp_path / "m"))
    base = load_encoder(str(tiny_folder))
    assert np.abs(model.encode(TEXTS) - base.encode(TEXTS)).max() > 1e-2, "nothing was learned"
    assert (tmp_path / "m" / ADAPTER_FILE).exists() != merge_lora
    assert (tmp_path / "m" / "model.safetensors").exists() == merge_lora
    if merge_lora:
        before, after = tensors(tiny_folder), tensors(tmp_path / "m")
        assert before.keys() == after.keys()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {name for name in before if name.startswith("encoder") and _is_linear(name)}
    else:
        config = json.loads((tmp_path / "m" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(tiny_folder.resolve())
        files = {"adapter_config.json": tmp_path / "m" / "adapter_config.json"}
        assert len(Upload("me/m", True, False, files).local_paths) == 1, "nobody else could load it"
        assert (config["r"], config["lora_alpha"]) == (4, 8)
        in_words = "The adapter alone is trained: 3,584 of "
        assert log[0]["adapter"].startswith(in_words)
        assert sum(weight.numel() for weight in load_file(tmp_path / "m" / ADAPTER_FILE).values()) == 3584
        assert in_words in (tmp_path / "m" / "README.md").read_text()


def _is_linear(name):
    return name.endswith(("query.weight", "key.weight", "value.weight", "dense.weight"))


def test_queries_alone_the_passages_stay_bit_for_bit(tmp_path, tiny_folder):
    log = train_model(
        str(tiny_folder), make_training_rows(), TrainingSettings(**LORA, batch_size=8, max_steps=12), tmp_path / "m"
    )
    assert log[0]["dev"]["kept_step"] > 0, "the base was kept, so the test shows nothing"
    model, base = load_encoder(str(tmp_path / "m")), load_encoder(str(tiny_folder))
    np.testing.assert_array_equal(model.encode_document(TEXTS), base.encode_document(TEXTS))
    assert np.abs(model.encode_query(TEXTS) - base.encode_query(TEXTS)).max() > 1e-2
    moved = tensors(tmp_path / "m" / "query_0_Transformer")
    changed = {name for name, weight in tensors(tiny_folder).items() if not torch.equal(weight, moved[name])}
    assert changed
    assert all(name.startswith("encoder") and _is_linear(name) for name in changed)


@pytest.mark.parametrize("side", ["both", "queries"])
@pytest.mark.parametrize("in_bf16", [False, True])
def test_resumed_it_is_what_an_uninterrupted_run_trains(tmp_path, monkeypatch, side, in_bf16):
    base = make_encoder(double=False)
    (base.bfloat16() if in_bf16 else base).save_pretrained(str(tmp_path / "base"))
    chosen = settings(
        **LORA, side=side, guard=1, lora_dropout=0.1, cached=True, mini_batch_num_tokens=40,
        dev_share=0, precision="bf16" if in_bf16 else "fp32",
    )  # fmt: skip

    def train(out, **options):
        return train_model(str(tmp_path / "base"), make_training_rows(), chosen, tmp_path / out, **options)

    whole = train("whole")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("clear_ir.train.run._finished_log", _interrupt)
        patched.setattr("transformers.Trainer._inner_training_loop", _stop_after(3))
        train("cut")
    assert [path.name for path in (tmp_path / "cut.partial/checkpoints").iterdir()] == ["checkpoint-3"]
    again = train("cut", resume=True)
    assert losses(again) == losses(whole)
    assert len(set(losses(whole))) == 6
    file = "query_0_Transformer/model.safetensors" if side == "queries" else ADAPTER_FILE
    one, other = (load_file(tmp_path / name / file) for name in ("whole", "cut"))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    if side == "both":
        assert {weight.dtype for weight in one.values()} == {torch.float32}


@pytest.mark.parametrize(("precision", "frozen"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_weights_beside_an_adapter_keep_bf16_where_training_computes_in_it(tmp_path, precision, frozen):
    make_encoder(double=False).bfloat16().save_pretrained(str(tmp_path))
    model, _ = load_to_train(str(tmp_path), settings(**LORA, precision=precision))
    by_trained = {weight.requires_grad: weight.dtype for weight in model.parameters()}
    assert by_trained == {False: frozen, True: torch.float32}
    model, _ = load_to_train(str(tmp_path), settings(precision=precision))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}, "all of them are trained"


def _interrupt(*args):
    raise KeyboardInterrupt


def _stop_after(steps):
    """The trainer's loop, interrupted after some steps."""
    from transformers import Trainer, TrainerCallback

    loop = Trainer._inner_training_loop

    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step >= steps:
                raise KeyboardInterrupt

    def stopping(self, *args, **kwargs):
        self.add_callback(Stop())
        return loop(self, *args, **kwargs)

    return stopping


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")  # sentence-transformers' own call
def test_gradient_checkpointing_gives_the_same(tmp_path, tiny_folder):
    by_kind = [
        losses(
            train_model(
                str(tiny_folder),
                make_training_rows(),
                settings(**LORA, gradient_checkpointing=kind, dev_share=0),
                tmp_path / str(kind),
            )
        )
        for kind in (False, True)
    ]
    assert by_kind[1] == pytest.approx(by_kind[0], rel=1e-5)
    assert by_kind[0][-1] < by_kind[0][0]


@pytest.mark.parametrize("side", ["both", "queries"])
def test_where_the_dev_questions_prefer_the_base_it_comes_back(tmp_path, tiny_folder, monkeypatch, side):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    rows, good = make_training_rows(), settings(dev_share=0, max_steps=60, learning_rate=1e-2)
    train_model(str(tiny_folder), rows, good, tmp_path / "good")
    ruin = settings(lora_r=4, learning_rate=1, max_steps=8, side=side)
    log = train_model(str(tmp_path / "good"), rows, ruin, tmp_path / "ruined")
    assert log[0]["dev"]["kept_step"] == 0, "training did no harm, so the test shows nothing"
    ruined, base = load_encoder(str(tmp_path / "ruined")), load_encoder(str(tmp_path / "good"))
    np.testing.assert_array_equal(ruined.encode_query(TEXTS), base.encode_query(TEXTS))


def test_an_adapter_that_is_trained_on_may_be_merged(tmp_path, tiny_folder):
    train_model(str(tiny_folder), make_training_rows(), settings(**LORA), tmp_path / "adapter")
    with pytest.raises(InputError, match="has an adapter already"):
        train_model(str(tmp_path / "adapter"), make_training_rows(), settings(**LORA), tmp_path / "again")
    log = train_model(
        str(tmp_path / "adapter"), make_training_rows(), settings(merge_lora=True, learning_rate=1e-2), tmp_path / "m"
    )
    assert log[0]["adapter"].startswith("The adapter alone is trained: 3,584 of")
    assert tensors(tmp_path / "m").keys() == tensors(tiny_folder).keys()


def test_only_the_adapter_of_an_encoder_with_other_layers_is_trained():
    encoder = make_encoder(double=False)
    add_to_sides(encoder, [Dense(32, 32, activation_function=None), Normalize()], [])
    add_lora(encoder.bfloat16(), 2, 4)
    train_adapters(encoder)
    trained = {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert len(trained) == 2 * 2 * 6
    assert all("lora" in name for name in trained)
    assert {weight.dtype for weight in trained.values()} == {torch.float32}


def refusals():
    two = join_encoders(make_encoder(double=False), make_encoder(double=False, seed=1))
    static = SentenceTransformer(modules=[StaticEmbedding(make_encoder().tokenizer, embedding_dim=8)], device="cpu")
    return {
        "two transformers": (two, {}, "a transformer for each side.* set side to queries"),
        "no transformer": (static, {}, "LoRA needs an encoder with a transformer"),
        "no such layer": (
            make_encoder(),
            {"layers": ["q_proj"]},
            "no such linear layer; choose among dense, key, que",
        ),
    }


@pytest.mark.parametrize("kind", ["two transformers", "no transformer", "no such layer"])
def test_what_cannot_have_an_adapter_is_refused(kind):
    encoder, options, sentence = refusals()[kind]
    with pytest.raises(InputError, match=sentence):
        add_lora(encoder, 2, 4, **options)


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'clear-ir\[lora\]'"):
        add_lora(make_encoder(), 2, 4)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="embedding_rate is that of the embedding table"):
        TrainingSettings(lora_r=4, embedding_rate=20)
    with pytest.raises(ValueError, match="lora_alpha is of a LoRA adapter"):
        TrainingSettings(lora_alpha=4)
    assert TrainingSettings().embedding_rate == 20
    assert TrainingSettings().learning_rate == 5e-5
    chosen = TrainingSettings(lora_r=4)
    assert (chosen.embedding_rate, chosen.learning_rate) == (1, 5e-4)
    assert TrainingSettings(lora_r=4, learning_rate=1e-5).learning_rate == 1e-5
    assert TrainingSettings(**chosen.model_dump()) == chosen


def test_merging_what_has_no_adapter_is_refused(tmp_path, tiny_folder):
    with pytest.raises(InputError, match="no adapter to merge"):
        train_model(str(tiny_folder), make_training_rows(), settings(merge_lora=True), tmp_path / "m")
    assert not list(tmp_path.iterdir())
