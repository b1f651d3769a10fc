"""Codes of languages: the lists are those of the published models."""

import pytest
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from clear_ir.data.languages import language_tag
from clear_ir.translate.codes import code_of, same_language

#: Some of Opus-MT's codes, from the cards of opus-mt-en-mul, -en-zh and -en-ROMANCE.
MARIAN = """
afr ara arz bel ben bos_Latn bul cat ces cmn cmn_Hans cmn_Hant cym dan deu ell epo est eus fas fin fra gla gle glg guj
hau_Latn heb hin hrv hun hye ibo ind isl ita jpn jpn_Hira jpn_Kana kat kaz_Cyrl kaz_Latn kor_Hang lat_Latn lav lit mal
mar mkd mlt msa_Latn nld nno nob por por_BR ron rus slv som spa sqi srp_Cyrl srp_Latn swa swe swh tam tat_Cyrl tel tgl
tha tur uig_Arab ukr urd uzb_Cyrl uzb_Latn vie yor yue_Hant zho zsm_Latn zul
""".split()
#: Some of MADLAD-400's, and all of SeamlessM4T v2's text outputs.
MADLAD = "en ru es fr de zh iw he ja no fil sw ha ig yo am ti pt sr uz zu xh rw jv ms id fa ps ckb ku yue".split()
SEAMLESS = """
afr amh arb ary arz asm azj bel ben bos bul cat ceb ces ckb cmn cmn_Hant cym dan deu ell eng est eus fin fra fuv gaz gle
glg guj heb hin hrv hun hye ibo ind isl ita jav jpn kan kat kaz khk khm kir kor lao lit lug luo lvs mai mal mar mkd mlt
mni mya nld nno nob npi nya ory pan pbt pes pol por ron rus sat slk slv sna snd som spa srp swe swh tam tel tgk tgl tha
tur ukr urd uzn vie yor yue zlm zul
""".split()


@pytest.mark.parametrize(
    ("lang", "nllb", "m2m", "madlad", "marian", "seamless"),
    [
        ("de", "deu_Latn", "de", "de", "deu", "deu"),
        ("sw", "swh_Latn", "sw", "sw", "swa", "swh"),
        ("ha", "hau_Latn", "ha", "ha", "hau_Latn", None),
        ("zh", "zho_Hans", "zh", "zh", "cmn_Hans", "cmn"),
        ("zh-Hant", "zho_Hant", None, None, "cmn_Hant", "cmn_Hant"),
        ("yue", "yue_Hant", None, "yue", "yue_Hant", "yue"),
        ("ar", "arb_Arab", "ar", None, "ara", "arb"),
        ("arz", "arz_Arab", None, None, "arz", "arz"),
        ("ja", "jpn_Jpan", "ja", "ja", "jpn", "jpn"),
        ("ko", "kor_Hang", "ko", None, "kor_Hang", "kor"),
        ("no", "nob_Latn", "no", "no", "nob", "nob"),
        ("nb", "nob_Latn", "no", "no", "nob", "nob"),
        ("nn", "nno_Latn", None, None, "nno", "nno"),
        ("fil", "tgl_Latn", "tl", "fil", "tgl", "tgl"),
        ("he", "heb_Hebr", "he", "he", "heb", "heb"),
        ("pt", "por_Latn", "pt", "pt", "por", "por"),
        ("pt-PT", "por_Latn", "pt", "pt", "por", "por"),
        ("es-MX", "spa_Latn", "es", "es", "spa", "spa"),
        ("sr", "srp_Cyrl", "sr", "sr", "srp_Cyrl", "srp"),
        ("sr-Latn", None, None, None, "srp_Latn", None),
        ("uz", "uzn_Latn", "uz", "uz", "uzb_Latn", "uzn"),
        ("fa", "pes_Arab", "fa", "fa", "fas", "pes"),
        ("ms", "zsm_Latn", "ms", "ms", "msa_Latn", "zlm"),
        ("lv", "lvs_Latn", "lv", None, "lav", "lvs"),
        ("mn", "khk_Cyrl", "mn", None, None, "khk"),
        ("ne", "npi_Deva", "ne", None, None, "npi"),
        ("sq", "als_Latn", "sq", None, "sqi", None),
        ("qu", "quy_Latn", None, None, None, None),
        ("nso", "nso_Latn", "ns", None, None, None),
        ("sat", "sat_Beng", None, None, None, "sat"),
        ("tlh", None, None, None, None, None),
    ],
)
def test_the_code_of_a_language(lang, nllb, m2m, madlad, marian, seamless):
    codes = (NLLB, M2M["m2m100"], MADLAD, MARIAN, SEAMLESS)
    assert [code_of(lang, each) for each in codes] == [nllb, m2m, madlad, marian, seamless]


@pytest.mark.parametrize("codes", [NLLB, M2M["m2m100"], SEAMLESS], ids=["nllb", "m2m", "seamless"])
def test_every_language_of_a_model_can_be_asked_for(codes):
    """By the tag that its own code is read as; and no two of its codes are one language."""
    tags = {code: language_tag({"ns": "nso"}.get(code, code), "") for code in codes}
    assert len(set(tags.values())) == len(codes)
    wrong = {code: code_of(tag, codes) for code, tag in tags.items() if code_of(tag, codes) != code}
    assert wrong in ({}, {"sat_Beng": None})


def test_what_a_user_may_have_meant():
    assert same_language("crh", NLLB) == ["crh-Latn"]
    assert same_language("zh-Hant", M2M["m2m100"]) == ["zh"]
    assert same_language("tlh", NLLB) == []


def test_groups_of_languages_are_none():
    assert code_of("de", ["mul", "roa", ""]) is None
