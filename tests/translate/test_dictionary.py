"""Word lists are read, and code-switching by them does what it is told."""

import gzip
from pathlib import Path

import pytest

from clear_ir.data.files import InputError
from clear_ir.translate.dictionary import DictionaryTranslator
from clear_ir.translate.kinds import load_translator
from clear_ir.translate.settings import TranslationSettings
from clear_ir.translate.translator import Choice
from clear_ir.translate.word_list import read_word_list

TSV = "river\tFluss\nriver\tStrom\nice cream\tGelato\nice\tGlatteis\ncountry\tLand\nlong\tlang\n\nÉlan\tSchwung\n"
ENTRIES = {
    "00databaseinfo": "river is no word of this entry\nFalsch\n",
    "river": 'river /rɪvə/ <n>\nFluss <masc> [geogr.]\n      "rivers" - Falsch\n   Synonym: {Falsch}\n see: Falsch\n',
    "ice cream": "ice cream /aɪs/\n1. Gelato, Ge~lato\n2. Gefrorenes (kalt)\n         Note: Falsch\n",
    "the the": "the … the /ðə/\nje desto\n",
    "which": "which\n welche/r/s?\n",
}
TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>
<entry><form><orth>river</orth></form><sense><cit type="trans"><quote>Fluss</quote></cit>
<cit type="example"><quote>Falsch</quote></cit></sense>
<sense><cit type="trans"><quote>Strom</quote></cit></sense></entry>
</body></text></TEI>"""


def write_dictd(folder, entries=None):
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def number(value):
        return (number(value // 64) if value >= 64 else "") + digits[value % 64]

    data, lines = b"", []
    for phrase, entry in (entries or ENTRIES).items():
        lines.append(f"{phrase}\t{number(len(data))}\t{number(len(entry.encode()))}\n")
        data += entry.encode()
    (folder / "eng-deu.index").write_text("".join(lines), encoding="utf-8")
    (folder / "eng-deu.dict.dz").write_bytes(gzip.compress(data))
    return folder / "eng-deu.index"


@pytest.fixture
def words(tmp_path):
    (tmp_path / "de.tsv").write_text(TSV, encoding="utf-8")
    return read_word_list(tmp_path / "de.tsv")


def switch(words, text, share=1.0, seed=0):
    [(number, switched)] = DictionaryTranslator("list", words, share, seed).translate([text], "de")
    assert number == 0
    return switched


def test_reads_tsv(words):
    assert words["river"] == ["Fluss", "Strom"]
    assert words["élan"] == ["Schwung"]
    assert len(words) == 6


def test_reads_dictd_from_either_file(tmp_path):
    index = write_dictd(tmp_path)
    words = read_word_list(index)
    assert words == {
        "river": ["Fluss"],
        "ice cream": ["Gelato", "Ge lato", "Gefrorenes"],
        "which": ["welche"],
    }
    assert read_word_list(tmp_path / "eng-deu.dict.dz") == words


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
def test_reads_tei(tmp_path, pack):
    (tmp_path / "eng-deu.tei").write_bytes(pack(TEI.encode()))
    assert read_word_list(tmp_path / "eng-deu.tei") == {"river": ["Fluss", "Strom"]}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.tsv", "river Fluss\n", "a.tsv, line 1: expected a word, one tab and its translation"),
        ("a.tsv", "river\tFluss\tStrom\n", "line 1"),
        ("a.tsv", "river\t \n", "line 1"),
        ("a.tsv", "", "holds no words with translations"),
        ("a.tsv", b"\xff\xfe", "not valid UTF-8"),
        ("a.tei", "<TEI", "not valid XML"),
        ("a.index", "river\tB\tC\n", "a.dict.dz does not exist"),
        ("none.tsv", None, "none.tsv does not exist"),
    ],
)
def test_refuses_what_is_no_word_list(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=sentence):
        read_word_list(tmp_path / name)


@pytest.mark.parametrize("line", ["river\tB", "river\t!\tB", "river\tB\t99999"])
def test_refuses_a_damaged_index(tmp_path, line):
    index = write_dictd(tmp_path)
    index.write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=r"eng-deu\.index, line 1"):
        read_word_list(index)


def test_the_longest_phrase_comes_first(words):
    assert switch(words, "Which ice cream and ice?") == "Which Gelato and Glatteis?"


def test_case_and_everything_else_stays(words):
    words = {"river": ["fluss"], "ice": ["éis"]}
    assert switch(words, "  RIVER, River: 'river'-- 3 Ice (x)") == "  FLUSS, Fluss: 'fluss'-- 3 Éis (x)"


def test_plurals_and_possessives_are_found():
    words = {"river": ["fluss"], "country": ["land"], "box": ["kiste"], "doe": ["falsch"], "glas": ["falsch"]}
    assert switch(words, "rivers, country's countries; boxes") == "fluss, land land; kiste"
    assert switch(words, "does the river of glass") == "does the fluss of glass"


def test_share_says_how_many_are_replaced():
    words = {word: [word.upper()] for word in "abcdefgh"}
    text = "a b c d e f g h x y z"
    for share, count in ((0.01, 1), (0.25, 2), (0.5, 4), (1.0, 8)):
        switched = switch(words, text, share)
        assert sum(letter.isupper() for letter in switched) == count
        assert switched.lower() == text


def test_the_seed_chooses(words):
    words = {word: [word.upper()] for word in "abcdefgh"}
    text = "a b c d e f g h"
    assert switch(words, text, 0.5) == switch(words, text, 0.5)
    assert len({switch(words, text, 0.5, seed) for seed in range(20)}) > 5
    several = DictionaryTranslator("list", words, 0.5)
    assert dict(several.translate(["h g", text], "de"))[1] == switch(words, text, 0.5)  # not what else there is


def test_the_first_translation_is_likeliest():
    words = {"a": ["X", "Y"]}
    first = sum(switch(words, "a", seed=seed) == "X" for seed in range(600))
    assert 350 < first < 450  # 2 of 3: 400, with a standard deviation of 11.5


def test_a_text_without_known_words_is_given_up(words):
    translator = DictionaryTranslator("list", words)
    assert list(translator.translate(["Xyz?"], "de")) == [(0, "")]
    assert translator.problems == {"Xyz?": "the word list has none of its words"}


def test_is_named_as_what_it_is(tmp_path, words):
    translator = load_translator(
        Choice(f"dictionary:{tmp_path / 'de.tsv'}", TranslationSettings(switch_share=0.25, seed=3))
    )
    assert translator.name == "code-switching with the word list de.tsv, share 0.25"
    identity = translator.identity("de")
    assert identity["method"] == "code-switching by a word list, not translation"
    assert (identity["share"], identity["seed"]) == (0.25, 3)
    changed = DictionaryTranslator("de.tsv", words | {"new": ["neu"]}, 0.25, 3).identity("de")
    assert changed["hash"] != identity["hash"]
    assert changed | {"hash": identity["hash"]} == identity


def test_takes_one_language(words):
    translator = DictionaryTranslator("list", words)
    translator.check(["de"])
    with pytest.raises(InputError, match="one language, and 2 are asked for"):
        translator.check(["de", "sw"])


def test_reads_the_list_of_debian():
    index = Path("/usr/share/dictd/freedict-eng-spa.index")
    if not index.exists():
        pytest.skip("Debian's package dict-freedict-eng-spa is not installed")
    words = read_word_list(index)
    assert len(words) > 4000
    assert words["river"] == ["río"]
    assert "agua" in words["water"]
    assert not [key for key in words if "00database" in key]
