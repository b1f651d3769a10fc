"""Shared parts: a tiny encoder built in code, and where the real data may be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tiny encoders gain nothing from threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = (
    "river desert moon bread bank court drum tree bird metal light sound what which where who how long wide old "
    "the a of in is are was mto jangwa mwezi mkate benki ngoma mti ndege gani wapi nani urefu ni ya wa kwa na "
    "Fluss Wüste Mond Brot Gericht Baum Vogel welche wo wer wie lang der die das ist"
).split()
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def make_encoder(dropout: float = 0.0, double: bool = True, seed: int = 0) -> SentenceTransformer:
    """A BERT with two layers of width 32 over a vocabulary of words, in float64 unless told otherwise."""
    torch.manual_seed(seed)
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ":", "query", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    folder = Path(os.environ["CLEAR_IR_TEST_TMP"]) / f"bert-{dropout}-{seed}"
    if not folder.exists():
        BertModel(config).save_pretrained(folder)
        fast.save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=32)
    encoder = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode="mean")], device="cpu")
    return encoder.double() if double else encoder


@pytest.fixture(scope="session", autouse=True)
def _tiny_model_folder(tmp_path_factory):
    os.environ["CLEAR_IR_TEST_TMP"] = str(tmp_path_factory.mktemp("tiny"))
    os.environ["CLEAR_IR_CACHE"] = str(tmp_path_factory.mktemp("embeddings"))  # not the user's own


@pytest.fixture
def encoder():
    return make_encoder()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """The tiny encoder as a model folder in float32."""
    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    make_encoder(double=False).save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the real data are not at {DATA}")
    return DATA


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; gives exit code, standard output and standard error."""
    from clear_ir.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["clear-ir", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call
