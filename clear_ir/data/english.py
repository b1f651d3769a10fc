"""Whether a short text is English: what can be said of it without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Words of English questions and sentences that hardly any other language has.
_STRONG = (
    "the what which who whose how when where why does did were of and from with that this have their into "
    "should would could about you your they these there know between"
)
#: Those that other languages have, too.
_WEAK = "a in is are was for it can has had by at to on do as be or an"
_KNOWN = tuple(frozenset(words.split()) for words in (_STRONG, _WEAK))
_MIN_SHARE = 0.3  # of the words


def looks_english(text: str) -> bool:
    """Whether a text looks English.

    Args:
        text: A sentence or a question. A name or a single word tells nothing.

    Returns:
        True if enough of its words are function words of English.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    strong, weak = (sum(word in known for word in words) for known in _KNOWN)
    # A title in English, such as Doctor Who, does not make a long question English.
    needed = max(2 if len(words) > 3 else 1, _MIN_SHARE * len(words))
    return strong >= (2 if len(words) > 7 else 1) and strong + weak >= needed


def english_share(texts: Iterable[str]) -> float:
    """Share of the texts that look English; 0 if there are none."""
    looks = [looks_english(text) for text in texts]
    return sum(looks) / len(looks) if looks else 0.0
