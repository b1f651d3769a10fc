"""One code for a language, whatever a data set calls it."""

import pytest

from clear_ir.data.files import InputError
from clear_ir.prepare.belebele import ON_THE_HUB
from clear_ir.prepare.languages import choose_langs, tags_of
from clear_ir.prepare.ntrex import TAGS


@pytest.mark.parametrize("asked", ["de", "deu", "ger", "deu_Latn", "DE", "de-DE"])
@pytest.mark.parametrize("own", ["de", "deu", "deu_Latn"])
def test_every_data_set_reads_every_code_and_writes_one(asked, own):
    assert choose_langs([asked], ["ar", own], "None has") == {"de": own}


def test_a_script_is_named_where_a_data_set_has_a_language_in_several():
    codes = ["arb_Arab", "arb_Latn", "zho_Hans", "zho_Hant"]
    tags = {"ar": "arb_Arab", "ar-Latn": "arb_Latn", "zh": "zho_Hans", "zh-Hant": "zho_Hant"}
    assert choose_langs(["all"], codes, "None has") == tags
    assert choose_langs(["zh-Hans", "zh-TW", "arb", "arb_Latn"], codes, "None has") == tags


def test_languages_of_belebele_are_told_apart():
    tag_of = tags_of(ON_THE_HUB.split(), {})
    assert len(tag_of) == len(set(tag_of.values())) == 122
    assert (tag_of["kor_Hang"], tag_of["pbt_Arab"], tag_of["fuv_Latn"], tag_of["jpn_Jpan"]) == ("ko", "ps", "ff", "ja")


def test_a_code_of_the_data_set_itself_is_that_one():
    codes = ["por", "por-BR"]
    assert choose_langs(["por", "pt"], codes, "None has", TAGS) == {"pt-PT": "por", "pt": "por-BR"}
    assert choose_langs(["por"], codes, "None has") == {"pt": "por"}
    with pytest.raises(InputError, match="por and por-BR are both pt; ask for one of the two"):
        choose_langs(["pt"], codes, "None has")


def test_what_is_no_language_is_no_language_of_the_data_set():
    with pytest.raises(InputError, match="The language is 'German', which is no language code; did you mean de?"):
        choose_langs(["German"], ["de"], "None has")
    with pytest.raises(InputError, match="None has 'German'; choose among fr"):
        choose_langs(["German"], ["fra"], "None has")
    with pytest.raises(InputError, match="None has 'fr'; choose among de, en"):
        choose_langs(["fra"], ["deu", "eng", "notes"], "None has")


def test_english_is_english_in_every_form():
    assert choose_langs(["en", "eng_Latn", "English", "en-GB"], ["eng_Latn", "deu_Latn"], "None has") == {
        "en": "eng_Latn"
    }
