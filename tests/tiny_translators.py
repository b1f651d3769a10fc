"""Tiny translation models, one of each family, with their tokenizers: all are trained here, in a second or two."""

from __future__ import annotations

import json
from pathlib import Path

import sentencepiece
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers.decoders import Metaspace
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    SeamlessM4TConfig,
    SeamlessM4TForTextToText,
    SeamlessM4TTokenizer,
    T5Config,
    T5ForConditionalGeneration,
)

TEXTS = [
    "what is the longest river of the country",
    "who was the first woman on the moon",
    "how many people live in the old town today",
    "where do birds fly in winter and why",
    "when was the railway to the coast opened",
    "which metal is the lightest of all",
    "why does bread rise in a warm kitchen",
    "is it far",
]
SIZES = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2}
SIZES |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
SIZES |= {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
SIZES |= {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}
FAMILIES = ("marian", "marian-one", "nllb", "m2m", "madlad", "seamless")


def translation_of(text: str, lang: str) -> str:
    """What the models have learned: another of the texts for each language."""
    return TEXTS[(TEXTS.index(text) + {"de": 1, "sw": 3}[lang]) % len(TEXTS)]


def make(family: str, folder: Path) -> Path:
    """Write a model of a family to a folder, after it has learned to "translate" the texts.

    It learns by the inputs and labels that transformers' own tokenizers make, not by ours.
    """
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    name, _, single = family.partition("-")
    maker = {"marian": _marian, "nllb": _nllb, "m2m": _m2m, "madlad": _madlad, "seamless": _seamless}
    model, tokenizer = maker[name](folder, single=bool(single))
    model.train()
    batch = _batch(name, tokenizer, ["de"] if single else ["de", "sw"], model.config.decoder_start_token_id)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(600):
        loss = model(**batch).loss
        if loss < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01, f"{family} has not learned: {loss}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


CODES = {
    "marian": {"de": ">>deu<<", "sw": ">>swa<<"},
    "nllb": {"en": "eng_Latn", "de": "deu_Latn", "sw": "swh_Latn"},
    "m2m": {"en": "en", "de": "de", "sw": "sw"},
    "madlad": {"de": "<2de>", "sw": "<2sw>"},
    "seamless": {"en": "eng", "de": "deu", "sw": "swh"},
}


def _batch(name: str, tokenizer, langs: list[str], start: int) -> dict[str, torch.Tensor]:
    """All texts with their translations into the languages."""
    codes = CODES[name]
    sources, labels = [], []
    for lang in langs:
        targets = [translation_of(text, lang) for text in TEXTS]
        if "en" in codes:
            tokenizer.src_lang, tokenizer.tgt_lang = codes["en"], codes[lang]
            tokenizer.src_lang = codes["en"]  # SeamlessM4T's is in the mode of whichever was set last
        prefix = f"{codes[lang]} " if "en" not in codes and len(langs) > 1 else ""
        sources += tokenizer([prefix + text for text in TEXTS])["input_ids"]
        made = tokenizer(text_target=targets)["input_ids"]
        if name == "seamless":  # the token that starts every translation, which the model puts there itself
            made = [ids[1:] for ids in made]
        labels += made
    longest = max(map(len, labels))
    shown = torch.tensor([[start, *ids, *[tokenizer.pad_token_id] * (longest - len(ids))] for ids in labels])[:, :-1]
    if "en" in codes:  # which language it is cannot be learned: it is said
        labels = [[-100, *ids[1:]] for ids in labels]
    asked = torch.tensor([ids + [-100] * (longest - len(ids)) for ids in labels])
    padded = tokenizer.pad({"input_ids": sources}, return_tensors="pt")
    return {**padded, "decoder_input_ids": shown, "labels": asked}


def _pieces(folder: Path, name: str = "tiny") -> Path:
    """A sentencepiece model of some words."""
    texts = folder / "texts.txt"
    texts.write_text("\n".join(TEXTS * 3))
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(folder / name), vocab_size=90, minloglevel=2, hard_vocab_limit=False
    )
    texts.unlink()
    (folder / f"{name}.vocab").unlink()
    return folder / f"{name}.model"


def _vocabulary(pieces: Path, first: list[str]) -> dict[str, int]:
    model = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    words = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    return {token: i for i, token in enumerate(dict.fromkeys([*first, *words]))}


def _marian(folder, single):
    pieces = _pieces(folder)
    codes = [] if single else [">>deu<<", ">>swa<<", ">>cmn_Hans<<", ">>por_BR<<", ">>por<<"]
    vocabulary = {token: i for i, token in enumerate(_vocabulary(pieces, ["</s>", "<unk>", *codes]))}
    vocabulary["<pad>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "source.spm").write_bytes(pieces.read_bytes())
    (folder / "target.spm").write_bytes(pieces.read_bytes())
    pieces.unlink()
    tokenizer = MarianTokenizer(
        source_spm=str(folder / "source.spm"), target_spm=str(folder / "target.spm"), vocab=str(folder / "vocab.json"),
        source_lang="en", target_lang="de" if single else "mul",
    )  # fmt: skip
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocabulary), max_position_embeddings=128, pad_token_id=pad, decoder_start_token_id=pad,
        eos_token_id=0, forced_eos_token_id=0, **SIZES,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.final_logits_bias[0, pad] = -1e4
    return model, tokenizer


def _trained(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=180, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _bpe(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    document = json.loads(_trained(special).to_str())["model"]
    return document["vocab"], [tuple(merge) for merge in document["merges"]]


def _nllb(folder, single):
    codes = ["eng_Latn", "deu_Latn", "swh_Latn", "zho_Hans", "zho_Hant"]
    vocabulary, merges = _bpe(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=merges, additional_special_tokens=codes)
    config = M2M100Config(
        vocab_size=len(tokenizer), max_position_embeddings=128, decoder_start_token_id=2, eos_token_id=2,
        pad_token_id=1, bos_token_id=0, **SIZES,
    )  # fmt: skip
    return M2M100ForConditionalGeneration(config), tokenizer


def _m2m(folder, single):
    pieces = _pieces(folder)
    vocabulary = _vocabulary(pieces, ["<s>", "<pad>", "</s>", "<unk>"])
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "sentencepiece.bpe.model").write_bytes(pieces.read_bytes())
    pieces.unlink()
    tokenizer = M2M100Tokenizer(vocab_file=str(folder / "vocab.json"), spm_file=str(folder / "sentencepiece.bpe.model"))
    config = M2M100Config(
        vocab_size=len(vocabulary) + 108, max_position_embeddings=128, decoder_start_token_id=2, eos_token_id=2,
        pad_token_id=1, bos_token_id=0 , **SIZES,
    )  # fmt: skip
    return M2M100ForConditionalGeneration(config), tokenizer


def _madlad(folder, single):
    codes = ["<2de>", "<2sw>", "<2zh>"]
    tokenizer = _trained(["<pad>", "</s>", "<unk>", *codes])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=codes,
    )
    config = T5Config(
        vocab_size=len(fast), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, tie_word_embeddings=False, feed_forward_proj="gated-gelu", dropout_rate=0.0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config), fast


def _seamless(folder, single):
    codes = [f"__{code}__" for code in ("eng", "deu", "swh", "cmn", "cmn_Hant")]
    vocabulary, merges = _bpe(["<pad>", "<unk>", "<s>", "</s>"])
    tokenizer = SeamlessM4TTokenizer(vocab=vocabulary, merges=merges, additional_special_tokens=codes, tgt_lang="deu")
    config = SeamlessM4TConfig(
        vocab_size=len(tokenizer), hidden_size=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=128,
        decoder_start_token_id=3, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        dropout=0.0, attention_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0,
    )  # fmt: skip
    model = SeamlessM4TForTextToText(config)
    ids = {code.strip("_"): tokenizer.convert_tokens_to_ids(code) for code in codes[:4]}
    model.generation_config.text_decoder_lang_to_code_id = ids
    model.generation_config._from_model_config = False  # else the ids are not read again
    return model, tokenizer
