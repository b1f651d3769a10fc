"""The checks of translations: hand-made faults in several scripts, and good translations that look like faults."""

import sys
from itertools import pairwise

import pytest

from clear_ir.data.english import looks_english
from clear_ir.prepare.atlas import load_atlas
from clear_ir.translate.quality import CHECKS, Finding, find_faults, judge

QUESTION = "When was the Brandenburg Gate in Berlin built?"

RAMBLING = (
    "这是一个很长的回答，没有人问过它，而且它还在继续说下去，说了很多别的事情，一直没有停下来，还说到了柏林和那座门。"
)

# Source, translation, language.
FAULTS = {
    "empty": [
        (QUESTION, "", "de"),
        (QUESTION, " ...? ", "ru"),
    ],
    "same as the source": [
        (QUESTION, QUESTION, "de"),
        (QUESTION, "when was the Brandenburg Gate in Berlin built", "sw"),
        ("cheap hotel", "cheap hotel", "es"),
    ],
    "wrong script": [
        (QUESTION, "Kogda byli postroyeny Brandenburgskiye vorota?", "ru"),
        (QUESTION, "ब्रांडेनबर्ग गेट कब बनाया गया था?", "zh"),
        (QUESTION, "Когда были построены ворота?", "sw"),
        (QUESTION, "ブランデンブルクもんはいつたてられましたか", "zh"),
    ],
    "wrong language": [
        (QUESTION, "When did they build the Brandenburg Gate?", "de"),
        (QUESTION, "What is the year of the construction?", "sw"),
    ],
    "length": [
        (QUESTION, "Wann?", "de"),
        (QUESTION, f"何时? {RAMBLING}", "zh"),
        ("When was it built?", "Das Tor wurde in den Jahren der Herrschaft von Friedrich Wilhelm errichtet.", "de"),
    ],
    "repetition": [
        (QUESTION, "Wann wurde das das das das das Brandenburger Tor gebaut?", "de"),
        (QUESTION, "Wann wurde das Tor gebaut? Wann wurde das Tor gebaut?", "de"),
        (QUESTION, "勃兰登堡门门门门门门门门门是何时建成的？", "zh"),
        (QUESTION, "गेट कब गेट कब गेट कब गेट कब बना?", "hi"),
    ],
    "lost name": [
        ("Who met Angela Merkel and Emmanuel Macron there?", "Wer hat die beiden dort eigentlich getroffen?", "de"),
        ("Where did COVID-19 begin?", "Wo hat die Krankheit angefangen?", "de"),
    ],
    "lost number": [
        ("Who won in 1988?", "Wer hat 1989 gewonnen?", "de"),
        ("Is it 6,650 km long?", "क्या यह ६६५ किमी लंबी है?", "hi"),
        ("Who ruled from 1740 to 1786?", "من حكم من ١٧٤٠؟", "ar"),
        ("Which town has 12,500 people?", "Welche Stadt hat 15.200 Einwohner?", "de"),
    ],
    "new number": [
        (QUESTION, "Wann wurde das Brandenburger Tor 1791 in Berlin gebaut?", "de"),
        (QUESTION, "ब्रांडेनबर्ग गेट १७९१ में कब बनाया गया था?", "hi"),
    ],
}  # fmt: skip

GOOD = [
    (QUESTION, "Wann wurde das Brandenburger Tor in Berlin gebaut?", "de"),
    (QUESTION, "Lango la Brandenburg mjini Berlin lilijengwa lini?", "sw"),
    (QUESTION, "बर्लिन में ब्रांडेनबर्ग गेट कब बनाया गया था?", "hi"),
    (QUESTION, "柏林的勃兰登堡门是何时建成的？", "zh"),
    # Names, single words and numbers may stay as they are.
    ("Angela Merkel", "Angela Merkel", "de"),
    ("Hotel", "Hotel", "es"),
    ("2024", "2024", "hi"),
    ("NASA", "NASA", "ru"),
    # Names in Latin letters do not make a text Latin, nor titles a text English.
    ("What is Internet2?", "Internet2是什么？", "zh"),
    ("Who wrote The Lord of the Rings?", "Nani aliandika The Lord of the Rings?", "sw"),
    ("When was the Great Wall of China built?", "Kedụ mgbe a rụrụ great wall of china?", "ig"),
    # An English creole has English words.
    ("What is the name of the president?", "What be the name of the president?", "pcm"),
    # Numbers in other digits, with other separators, in other units, and as words.
    ("Is it 6,650 km long in 2020?", "क्या यह २०२० में ६६५० किमी लंबी है?", "hi"),
    ("Is it 6,650.5 km long?", "Ist er 6.650,5 km lang?", "de"),
    ("Which town has 12 000 people?", "В каком городе 12\u00a0тысяч жителей?", "ru"),
    ("Did it cost 10 million?", "花了1000万吗？", "zh"),
    ("At 02:30 or at 3 pm?", "Saa 8:30 au saa tisa?", "sw"),
    ("In the 19th century and the 1980s?", "Im neunzehnten Jahrhundert und in den 80er Jahren?", "de"),
    ("Which 3 rivers meet?", "Welche drei Flüsse treffen sich?", "de"),
    ("How many are two thousand?", "Wie viel sind 2000?", "de"),
    ("What did Henry VIII do?", "Was tat Heinrich 888?", "de"),
    # Repetition that the source has, too, and reduplication.
    ("No, no, no, no, no!", "Nein, nein, nein, nein, nein!", "de"),
    ("Why do people walk slowly?", "Kwa nini watu hutembea pole pole?", "sw"),
    # Names are inflected, transliterated, or translated.
    ("Was Merkel in Paris with Macron and Obama?", "Была ли Меркель в Париже с Макроном и Обамой?", "ru"),
    ("Does the United Nations meet in New York?", "Je, Umoja wa Mataifa hukutana New York?", "sw"),
]


@pytest.mark.parametrize(
    ("check", "pair"), [(name, pair) for name, pairs in FAULTS.items() for pair in pairs], ids=lambda x: str(x)[:60]
)
def test_finds_faults(check, pair):
    finding = judge(*pair)
    assert finding is not None
    assert finding.check == check


@pytest.mark.parametrize("pair", GOOD, ids=lambda pair: pair[1][:60])
def test_leaves_good_translations(pair):
    assert judge(*pair) is None


def test_every_check_is_tried():
    assert list(FAULTS) == [check.name for check in CHECKS]


def test_says_what_it_saw():
    assert str(judge("Who won in 1988?", "Wer hat gewonnen?", "de")) == "lost number: 1988 is missing"
    assert str(Finding("empty")) == "empty"


def test_judges_many():
    good, bad = ("When was it?", "Wann war das?"), ("Who won in 1988?", "Wer hat gewonnen?")
    assert find_faults(dict([good, bad]), "de") == {bad[0]: "lost number: 1988 is missing"}


def test_another_language_is_found_by_the_detector():
    pytest.importorskip("py3langid")
    spanish = "¿Cuándo se construyó la Puerta de Brandeburgo en Berlín?"
    assert str(judge(QUESTION, spanish, "de")) == "wrong language: looks like es"
    assert judge(QUESTION, spanish, "es") is None
    assert judge(QUESTION, spanish, "ca") is None  # too alike to tell
    assert judge(QUESTION, spanish, "fon") is None  # the detector does not know it, and nothing can be said


def test_without_the_detector_only_english_is_found(monkeypatch):
    from clear_ir.data import text_languages

    monkeypatch.setitem(sys.modules, "py3langid", None)
    text_languages._alike.cache_clear()
    try:
        assert judge(QUESTION, "¿Cuándo se construyó la Puerta de Brandeburgo en Berlín?", "de") is None
        finding = judge(QUESTION, "When did they build the Brandenburg Gate?", "de")
        assert finding is not None
        assert finding.check == "wrong language"
    finally:
        text_languages._alike.cache_clear()


def test_code_switching_is_not_judged_by_its_language():
    switched = "Wann was the Brandenburg Tor of Berlin built, and von whom?"
    assert looks_english(switched)
    assert judge(QUESTION, switched, "de") is not None
    assert judge(QUESTION, switched, "de", mixed=True) is None
    finding = judge(QUESTION, QUESTION, "de", mixed=True)
    assert finding is not None
    assert finding.check == "same as the source"


def test_human_translations_pass():
    rows = load_atlas(["all"]).rows
    assert len(rows) > 1000
    assert [
        judge(row.query, row.cross_query, row.lang) for row in rows if judge(row.query, row.cross_query, row.lang)
    ] == []
    # And those of another question, another length or none do not: the checks are not asleep.
    shifted = [judge(row.query, other.cross_query[:9], row.lang) for row, other in pairwise(rows)]
    assert sum(finding is not None for finding in shifted) > 0.9 * len(shifted)


@pytest.mark.parametrize("text", ["", " ", "?", "a", "12", "\U0001f600" * 50, "x" * 5000, "ab " * 2000])
def test_any_text_is_judged(text):
    for source, translation in ((text, "Wann?"), ("When?", text), (text, text)):
        finding = judge(source, translation, "de")
        assert finding is None or finding.check in FAULTS
