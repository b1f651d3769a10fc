"""A tiny encoder built in code, and rows and settings to train it with."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from clear_ir.data.training_rows import TrainingRows, training_columns
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.train.settings import TrainingSettings

WORDS = (
    "river desert moon bread bank court drum tree bird metal light sound what which where who how long wide old "
    "the a of in is are was mto jangwa mwezi mkate benki ngoma mti ndege gani wapi nani urefu ni ya wa kwa na "
    "Fluss Wüste Mond Brot Gericht Baum Vogel welche wo wer wie lang der die das ist"
).split()


def make_encoder(dropout: float = 0.0, double: bool = True, seed: int = 0) -> SentenceTransformer:
    """A BERT with two layers of width 32 and a vocabulary of words; in float64 unless `double` is False."""
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


def quiet(model: SentenceTransformer, **options) -> TextEncoder:
    """A text encoder without progress bars; without a cache unless `options` name one."""
    return TextEncoder(model, show_progress=False, **options)


def make_training_rows(count=40, n=1):
    """Rows of five words per text, with n negatives on each side."""

    def text(i, k):
        return " ".join(WORDS[(i * 7 + k * 3 + j) % len(WORDS)] for j in range(5))

    columns = training_columns(n, n)
    records = [
        {column: text(i, k) for k, column in enumerate(columns)} | {"lang": "sw", "id": str(i)} for i in range(count)
    ]
    return TrainingRows(columns, n, n, records)


def settings(**changes):
    """Settings of a training run of six steps; both sides are trained, at a scale of 20."""
    defaults = {"side": "both", "batch_size": 8, "max_steps": 6, "learning_rate": 1e-3}
    if changes.get("side", "both") == "both":
        defaults["scale"] = 20
    defaults |= {"precision": "fp32", "eval_steps": 3}
    return TrainingSettings(**defaults | changes)
