import subprocess
import sys

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.languages import describe_direction, english_name, is_english, language_tag, name_directions


@pytest.mark.parametrize(
    ("codes", "tag"),
    [
        ("de deu ger DE deu_Latn de-DE de_DE", "de"),
        ("en eng EN en-US eng_Latn English en_GB", "en"),
        ("hau ha hau_Latn", "ha"),
        ("swa sw swh swh_Latn", "sw"),
        ("arb ar arb_Arab", "ar"),
        ("arb_Latn ar-Latn", "ar-Latn"),
        ("zh zho zho_Hans zho-CN zh-Hans cmn", "zh"),
        ("zho_Hant zho-TW zh-Hant", "zh-Hant"),
        ("fon fon_Latn", "fon"),
        ("acm_Arab acm", "acm"),
        ("twi tw twi_Latn", "tw"),
        ("srp_Cyrl sr", "sr"),
        ("srp-Latn sr-Latn", "sr-Latn"),
        ("fra-CA fr-CA", "fr-CA"),
    ],
)
def test_every_code_of_a_language_is_one_tag(codes, tag):
    assert {code: language_tag(code, "lang") for code in codes.split()} == dict.fromkeys(codes.split(), tag)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("German", "did you mean de?"),
        ("germn", "did you mean de?"),
        ("ger_DEU", "did you mean de?"),
        ("German_Germany", "did you mean de?"),
        ("de_DE.UTF-8", "did you mean de?"),
        ("jp", "did you mean ja?"),
        ("xx-invalid", "give a BCP 47 tag, such as de or zh-Hant."),
        ("deutsch", "give a BCP 47 tag, such as de or zh-Hant."),  # Not Dutch.
        ("en+de", "give a BCP 47 tag, such as de or zh-Hant."),
        ("", "give a BCP 47 tag, such as de or zh-Hant."),
    ],
)
def test_no_code_is_an_error_that_says_what_was_meant(code, advice):
    with pytest.raises(InputError) as error:
        language_tag(code, "rows.csv, line 3: 'lang'", "lang")
    assert str(error.value) == f"rows.csv, line 3: 'lang' is {code!r}, which is no language code; {advice}"
    assert error.value.settings == ("lang",)


@pytest.mark.parametrize("code", ["all", "ALL", "xx", "und", "mul"])
def test_words_with_a_meaning_of_their_own_are_no_language(code):
    with pytest.raises(InputError, match=f"The lang is '{code}', which stands for .*; give the code of one language"):
        language_tag(code, "The lang")


def test_names_that_begin_like_english_are_not_english():
    assert not any(map(is_english, ["enm", "eno", "engl", "de-en"]))


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("de", "German"),
        ("sr-Latn", "Serbian, Latin"),
        ("fr-CA", "French, Canada"),
        ("xx", "language not given"),
        ("qqq", "qqq"),
        ("toki pona", "toki pona"),
    ],
)
def test_languages_have_english_names(tag, name):
    assert english_name(tag) == name


def test_directions_are_named_wherever_they_stand():
    text = "worst direction (q-sw.p-en); q-sr-Latn.p-en+de, q-de.p-all; q-en"
    named = "worst direction (Swahili → English); Serbian, Latin → English + German, German → all languages; q-en"
    assert name_directions(text) == named
    assert describe_direction("q-de.p-en+sw") == "German questions, English and Swahili passages"
    assert describe_direction("q-en.p-all") == "English questions, passages in all languages"


def test_the_library_is_imported_when_a_code_is_read():
    code = "import sys, clear_ir.data.languages; sys.exit('langcodes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
