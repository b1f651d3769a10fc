"""Code-switching by a word list: words of the English query are replaced by their translations.

Litschko et al., Boosting Zero-shot Cross-lingual Retrieval by Training on Artificially Code-Switched Data (Findings of
ACL 2023, arXiv 2305.05295). It is a baseline, and a fallback for languages that no translator knows: the result mixes
two languages word by word and is no translation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError, hash_of
from clear_ir.translate.translator import Choice, Translator
from clear_ir.translate.word_list import WordList, phrase_key, read_word_list

#: What a model name begins with that names a word list.
PREFIX = "dictionary:"
_WORD = re.compile(r"[^\W_]+(?:[’'-][^\W_]+)*")
_MIN_PLURAL = 5  # letters; shorter words that end in s are often none


def load(choice: Choice) -> Translator:
    """Make the translator of `--model dictionary:FILE`.

    Args:
        choice: What the user said.

    Returns:
        The translator.

    Raises:
        InputError: If the file cannot be read.
    """
    path = Path(choice.model.removeprefix(PREFIX)).expanduser()
    return DictionaryTranslator(path.name, read_word_list(path), choice.settings.switch_share, choice.settings.seed)


class DictionaryTranslator:
    """Replaces a share of the words that the list has.

    Args:
        list_name: What to call the list.
        words: The list.
        share: Share of the words and phrases found in the list that are replaced. At least one is.
        seed: Chooses them, and among several translations of one. The usual ones stand first in a list, so the n-th is
            taken with a probability proportional to 1 / n.
    """

    #: Its texts are in two languages, so that checks of the language say nothing.
    mixes_languages = True

    def __init__(self, list_name: str, words: WordList, share: float = 0.5, seed: int = 0) -> None:
        self.name = f"code-switching with the word list {list_name}, share {share:g}"
        self.problems: dict[str, str] = {}
        self._words, self._share, self._seed = words, share, seed
        self._longest = max(key.count(" ") + 1 for key in words)
        self._identity = {
            "method": "code-switching by a word list, not translation",
            "word list": list_name,
            "hash": hash_of(*(text for key, texts in words.items() for text in (key, *texts)))[:16],
            "share": share,
            "seed": seed,
        }

    def check(self, langs: Sequence[str]) -> None:
        """See `clear_ir.translate.translator.Translator`."""
        if len(langs) > 1:
            raise InputError(
                f"A word list has translations into one language, and {len(langs)} are asked for; run once for each.",
                "to",
                "model",
            )

    def identity(self, lang: str) -> dict[str, Any]:
        """See `clear_ir.translate.translator.Translator`."""
        return dict(self._identity)

    def translate(self, texts: Sequence[str], lang: str, source: str = "en") -> Iterator[tuple[int, str]]:
        """See `clear_ir.translate.translator.Translator`."""
        for number, text in enumerate(texts):
            switched = self._switch(text)
            if switched is None:
                self.problems[text] = "the word list has none of its words"
            yield number, switched or ""

    def _switch(self, text: str) -> str | None:
        """The text with words replaced; None if the list has none of them. Other texts do not change what is chosen."""
        found = list(self._phrases(text))
        if not found:
            return None
        chance = random.Random(hash_of(str(self._seed), text))
        count = max(1, round(self._share * len(found)))
        parts, at = [], 0
        for begin, end, translations in sorted(chance.sample(found, count), key=lambda phrase: phrase[0]):
            [translation] = chance.choices(translations, [1 / rank for rank in range(1, len(translations) + 1)])
            parts += [text[at:begin], _with_case(text[begin:end], translation)]
            at = end
        return "".join((*parts, text[at:]))

    def _phrases(self, text: str) -> Iterator[tuple[int, int, list[str]]]:
        """Begin, end and translations of the phrases that the list has. Of those that overlap the longest first."""
        words = list(_WORD.finditer(text))
        i = 0
        while i < len(words):
            for count in range(min(self._longest, len(words) - i), 0, -1):
                begin, end = words[i].start(), words[i + count - 1].end()
                if translations := self._look_up(text[begin:end]):
                    yield begin, end, translations
                    i += count - 1
                    break
            i += 1

    def _look_up(self, phrase: str) -> list[str] | None:
        """The translations of a phrase, or of the singular of a word in the plural."""
        key = phrase_key(phrase)
        forms = [key]
        if len(key) >= _MIN_PLURAL and key.endswith("s") and not key.endswith("ss"):
            forms += [key[:-1], key[:-2] if key.endswith("es") else "", f"{key[:-3]}y" if key.endswith("ies") else ""]
        return next((self._words[form] for form in forms if form in self._words), None)


def _with_case(phrase: str, translation: str) -> str:
    """The translation in the case of the phrase: a capital at the beginning, or capitals alone."""
    if len(phrase) > 1 and phrase.isupper():
        return translation.upper()
    return translation[0].upper() + translation[1:] if phrase[0].isupper() else translation
