"""The settings of `clear-ir translate`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from clear_ir.data.settings import Settings


class TranslationSettings(Settings):
    """How texts are translated."""

    groups: ClassVar[dict[str, str]] = {
        "num_beams": "Translation model",
        "timeout": "Command",
        "switch_share": "Word list",
        "no_checks": "Checks",
        "cache": "Cache",
    }

    num_beams: int = Field(4, ge=1)
    """Width of the beam search. 1: greedy, which is several times as fast on a CPU and a little worse."""
    max_tokens: int = Field(512, ge=8)
    """Longest text, and longest translation, in tokens. The model's own limit counts if it is smaller. A longer text is
    left out and counted."""
    batch_size: int | None = Field(None, ge=1)
    """Texts translated at once. None: for a model as many as fit into 1,024 tokens on a CPU, 16,384 tokens on other
    devices; for a command 64."""
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    """Precision of the translation model. auto: the faster one; on a CPU it is measured."""
    timeout: float = Field(600.0, gt=0)
    """Seconds to wait for the command to translate one batch."""
    switch_share: float = Field(0.5, gt=0, le=1)
    """Share of the words found in the word list that are replaced by their translations; at least one of each text."""
    seed: int = 0
    """Chooses the words to replace, and among several translations of one."""
    no_checks: bool = Field(False, json_schema_extra={"flag": "--no-checks"})
    """Keep translations whatever the checks say: of script, language, length, repetition, numbers and names."""
    agreement: str | None = None
    """Encoder that judges translations, model folder or hub name: one is left out if it is no more similar to its query
    than 95 % of the translations of other queries. The encoder has to know the language."""
    back_translate: str | None = None
    """What translates the translations back: same, a model as for --model, or command:COMMAND. A translation is left
    out if what comes back is no more similar (chrF) to its query than 95 % of what comes back of other queries. Needs
    the extra check."""
    cache: Path | None = None
    """Folder where translations are kept, so that no text is translated twice. None: $CLEAR_IR_CACHE if it is set, else
    clear-ir/translations in the user's cache folder."""
    no_cache: bool = Field(False, json_schema_extra={"flag": "--no-cache"})
    """Do not use the cache: read no translations from it and keep none. After an interruption all is done again."""


class QuerySettings(Settings):
    """How questions are written for passages that have none."""

    groups: ClassVar[dict[str, str]] = {"num_queries": "Questions"}

    num_queries: int = Field(2, ge=1, le=20)
    """Questions for each passage and language."""
    num_passages: int | None = Field(None, ge=1)
    """Passages to write questions for, drawn at random. None: all of them."""
    seed: int = 0
    """Seed of that draw."""
    top_k: int = Field(10, ge=1)
    """The encoder has to find the passage among this many best ones for the English question, out of all passages. Else
    the question is left out: it fits other passages as well, or not at all."""
    no_checks: bool = Field(False, json_schema_extra={"flag": "--no-checks"})
    """Keep questions that do not say the same in both languages, see docs/translate.md."""
    prompt: Path | None = None
    """File with the prompt, to ask for other questions. `{count}`, `{language}` and `{code}` in it are filled in. None:
    the prompt that --show-prompt prints."""


class EndpointSettings(Settings):
    """How a chat endpoint is asked."""

    groups: ClassVar[dict[str, str]] = {"texts_per_request": "Endpoint"}

    texts_per_request: int = Field(10, ge=1)
    """Texts that one request holds, at most; of long ones it holds fewer. They are numbered, so that a wrong count is
    seen; a request that fails is split."""
    requests_at_once: int = Field(4, ge=1, le=256)
    """Requests that run at the same time."""
    answer_timeout: float = Field(120.0, gt=0)
    """Seconds to wait for an answer."""
    retries: int = Field(5, ge=0)
    """How often a failed request is repeated, after waits of 1, 2, 4 and more seconds, or as long as the server asks. A
    text that still has no answer is left out and counted."""
    token_limit: int | None = Field(None, ge=1)
    """The most tokens to spend in this run, prompts and answers together. Before a request could pass the limit, the
    run stops; what was made is kept, and the same command goes on. None: no limit."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Randomness of the answers. A text whose answer could not be used is asked again with at least 0.5."""
    thinking_tokens: int = Field(0, ge=0)
    """Tokens that an answer may have beside those for the texts, for a model that thinks before it answers."""
    key_variable: str = Field("CLEAR_IR_API_KEY", min_length=1)
    """Name of the environment variable that holds the key. The key itself is never written anywhere."""
