"""Translate by a model of transformers, in batches of texts of similar length."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from clear_ir.data.files import InputError
from clear_ir.encode.backends import Precision
from clear_ir.encode.model_loading import naming_failures_to_load
from clear_ir.loss.token_budget import for_device, is_out_of_memory
from clear_ir.translate.model_families import Languages
from clear_ir.translate.model_loading import load_model
from clear_ir.translate.settings import TranslationSettings
from clear_ir.translate.translator import Choice, Translator

#: The default number of tokens translated at once, padding included.
NUM_TOKENS = {"cpu": 1024, "other": 16384}
#: A translation may have so many times as many tokens as its text, and so many more. A model that goes on is repeating
#: itself.
LONGEST_RATIO, LONGEST_EXTRA = 4, 50
TOO_LONG = "longer than the model reads"
NO_END = "the model did not end the translation"

logger = logging.getLogger(__name__)


def load(choice: Choice) -> Translator:
    """Make the translator of a model folder or hub name.

    Args:
        choice: What the user said.

    Returns:
        The translator.

    Raises:
        InputError: If no model is named, there is no such model, or it does not translate.
    """
    if not choice.model:
        raise InputError("Nothing is named that translates; give a translation model or a command.", "model", "command")
    settings = choice.settings
    if settings.precision == "auto":
        from clear_ir.translate.precision import load_in_faster_precision

        return load_in_faster_precision(choice.model, settings, choice.trust_remote_code)
    return load_translation_model(choice.model, settings, settings.precision, choice.trust_remote_code)


def load_translation_model(
    name: str, settings: TranslationSettings, precision: Precision = "fp32", trust_remote_code: bool = False
) -> Seq2Seq:
    """Load a translation model, onto the GPU if there is one.

    Args:
        name: A model folder or a hub name.
        settings: How to translate.
        precision: The precision of its weights.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The translator.

    Raises:
        InputError: If there is no such model, or it does not translate.
    """
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with naming_failures_to_load(name, minilm=False):
        model, tokenizer, languages = load_model(name, dtype, trust_remote_code)
        if torch.cuda.is_available():
            model = model.to("cuda")
        translator = Seq2Seq(name, model, tokenizer, languages, settings)
        # What does not fit together, such as a vocabulary and its embeddings, shows only when a text is translated.
        trial = Seq2Seq(name, model, tokenizer, languages, settings.model_copy(update={"max_tokens": 16}))
        list(trial.translate(["a ☃"], languages.example(), languages.source or "en"))
    return translator


@dataclass
class Seq2Seq:
    """A translation model with its tokenizer.

    Args:
        name: Its folder, or its name on the hub.
        model: The model, in its precision and on its device.
        tokenizer: Its tokenizer.
        languages: The languages that it knows.
        settings: Beam width, lengths and batch size.
    """

    name: str
    model: Any
    tokenizer: Any
    languages: Languages
    settings: TranslationSettings = field(default_factory=TranslationSettings)
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A forced end would hide that a translation did not come to one. `generate` fills in what is None from here.
        presets = self.model.generation_config
        presets.forced_eos_token_id = presets.forced_bos_token_id = presets.max_length = None

    def check(self, langs: Sequence[str]) -> None:
        """See `clear_ir.translate.translator.Translator`."""
        if "en" not in langs:  # else it is the way back
            self.languages.source_code("en")
        for lang in langs:
            self.languages.code(lang)
        if not self.languages.tokens and len(langs) > 1:
            raise InputError(
                f"{self.name} translates into one language, and {len(langs)} are asked for; run once for each, with "
                "its model.",
                "to",
                "model",
            )

    def identity(self, lang: str) -> dict[str, Any]:
        """See `clear_ir.translate.translator.Translator`. Batches are not in it: in float32 they hardly matter."""
        return {
            "family": self.languages.family.name,
            "weights": self._hash,
            "precision": str(self.model.dtype).removeprefix("torch."),
            "code": self.languages.code(lang),
            "num_beams": self.settings.num_beams,
            "max_tokens": self._limit,
        }

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """See `clear_ir.translate.translator.Translator`. The longest texts come first: if memory is short, at once."""
        self._set_source(source)
        ids = self._tokenize(texts, lang)
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]), reverse=True)
        while order and len(ids[order[0]]) > self._limit:
            self.problems[texts[order[0]]] = f"{TOO_LONG}: {len(ids[order[0]])} tokens, and it reads {self._limit}"
            yield order.pop(0), ""
        begin, budget = 0, for_device(NUM_TOKENS, self.model.device)
        while begin < len(order):
            size = self.settings.batch_size or max(1, budget // len(ids[order[begin]]))
            places = order[begin : begin + size]
            begin += size
            made = self._generate_in_memory([ids[i] for i in places], lang)
            for place, (translation, ended) in zip(places, made, strict=True):
                if not ended:
                    self.problems[texts[place]] = NO_END
                yield place, translation

    def _set_source(self, lang: str) -> None:
        """Tell the tokenizer the language of the texts: it puts a token of it beside them."""
        if code := self.languages.source_code(lang):
            self.tokenizer.src_lang = code

    def _tokenize(self, texts: Sequence[str], lang: str) -> list[list[int]]:
        """The ids of each text, with the tokens for languages that stand on this side."""
        code = self.languages.code(lang)
        prefix = f"{self.languages.tokens[code]} " if code and self.languages.family.target == "prefix" else ""
        special = {*self.tokenizer.all_special_tokens, *self.languages.tokens.values()}
        # What looks like a token of the tokenizer's own, such as </s>, would be taken for it.
        own = re.compile("|".join(re.escape(token[:1]) + f"(?={re.escape(token[1:])})" for token in sorted(special)))
        lines = [prefix + own.sub(r"\g<0> ", " ".join(text.split())) for text in texts]
        ids: list[list[int]] = []
        for start in range(0, len(lines), 4096):
            encoded = self.tokenizer(lines[start : start + 4096], truncation=False, verbose=False)
            ids += encoded["input_ids"]
        return ids

    def _generate_in_memory(self, batch: Sequence[list[int]], lang: str) -> list[tuple[str, bool]]:
        """The translations of one batch, in parts if all of it does not fit into memory.

        Raises:
            InputError: If one text alone does not fit.
        """
        try:
            return self._generate(batch, lang)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise InputError(
                    f"Memory is too small for a text of {len(batch[0])} tokens with {self.name}; give a smaller "
                    "num_beams or max_tokens, or another precision.",
                    "num_beams",
                    "max_tokens",
                    "precision",
                ) from error
        half = len(batch) // 2  # outside of the handler, which would keep what fills the memory
        return self._generate_in_memory(batch[:half], lang) + self._generate_in_memory(batch[half:], lang)

    @torch.inference_mode()
    def _generate(self, batch: Sequence[list[int]], lang: str) -> list[tuple[str, bool]]:
        """The translations of one batch, and whether each came to its end."""
        padded = self.tokenizer.pad({"input_ids": list(batch)}, padding=True, return_tensors="pt").to(self.model.device)
        allowed = [min(LONGEST_RATIO * len(ids) + LONGEST_EXTRA, self._limit) for ids in batch]
        config = copy.deepcopy(self.model.generation_config)
        config.update(
            num_beams=self.settings.num_beams,
            do_sample=False,
            early_stopping=False,
            max_new_tokens=max(allowed),
        )
        options: dict[str, Any] = {}
        code = self.languages.code(lang)
        if self.languages.family.target == "forced":
            config.forced_bos_token_id = self.tokenizer.convert_tokens_to_ids(self.languages.tokens[code])
        elif self.languages.family.target == "named":
            options["tgt_lang"] = code
        made = self.model.generate(
            padded["input_ids"], attention_mask=padded["attention_mask"], generation_config=config, **options
        )
        results = []
        names = set(self.tokenizer.convert_tokens_to_ids(list(self.languages.tokens.values())))
        for row, most in zip(made.tolist(), allowed, strict=True):
            # The first token starts every translation; some families use that of the end for it.
            new = [token for token in row[1:] if token not in names]
            end = next((i for i, token in enumerate(new) if token in self._ends), len(new))
            text = self.tokenizer.decode(new[: min(end, most)], skip_special_tokens=True)
            results.append((" ".join(text.split()), end < min(len(new), most)))
        return results

    @property
    def _ends(self) -> set[int]:
        """The tokens that end a translation."""
        ends = self.model.generation_config.eos_token_id
        return set(ends) if isinstance(ends, list) else {self.tokenizer.eos_token_id if ends is None else ends}

    @property
    def _limit(self) -> int:
        """The most tokens of a text, and of its translation."""
        config = self.model.config
        # T5 knows distances between tokens, not places: it has no limit of its own.
        places = None if self.languages.family.name == "MADLAD" else getattr(config, "max_position_embeddings", None)
        # Two of the places are for the tokens that begin a translation.
        return min(self.settings.max_tokens, (places or sys.maxsize) - 2)

    @cached_property
    def _hash(self) -> str:
        """SHA-256 of weights, vocabulary and settings of the model."""
        from clear_ir.encode.model_loading import add_tensors, vocabulary_of

        if self.languages.family.has_source:
            self._set_source("en")  # the same each time: it is a part of the vocabulary that is hashed
        digest = hashlib.sha256()
        add_tensors(digest, self.model.state_dict())
        vocabulary = self.tokenizer.get_vocab()
        if getattr(self.tokenizer, "backend_tokenizer", None) is not None:
            vocabulary = vocabulary_of(self.tokenizer)
        for name in ("sp_model", "spm_source", "spm_target"):
            if pieces := getattr(self.tokenizer, name, None):
                digest.update(pieces.serialized_model_proto())
        settings = self.model.generation_config.to_dict()
        settings.pop("transformers_version", None)
        digest.update(json.dumps([vocabulary, settings], sort_keys=True, default=str).encode())
        return digest.hexdigest()
