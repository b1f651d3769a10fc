"""Questions for passages: what is asked, kept, and left out with its reason."""

import json

import numpy as np
import pytest
from stub_endpoint import Stub, language_in, served
from tiny import quiet

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.texts import text_key
from clear_ir.translate import chat_endpoint
from clear_ir.translate.chat_endpoint import ChatEndpoint
from clear_ir.translate.passage_ranks import PassageRanks
from clear_ir.translate.quality import find_faults
from clear_ir.translate.question_rows import read_passages, write_questions
from clear_ir.translate.question_writer import QuestionWriter, questions_of, read_prompt
from clear_ir.translate.settings import EndpointSettings, QuerySettings
from clear_ir.translate.store import TranslationStore

PASSAGES = [Text(f"p{i}", f"the river {i} is long", "en") for i in range(12)]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.002)


def asker(text, system):
    """Two questions for a passage."""
    number, lang = text.split()[2], language_in(system)
    return [
        {"en": f"how long is river {number}?", lang: f"mto {number} ni mrefu?"},
        {"en": f"what is {number}?", lang: f"nini {number}?"},
    ]


def writer_of(stub, num_queries=2, prompt=None, **settings):
    return QuestionWriter(
        ChatEndpoint(stub.url, "stub", EndpointSettings(**settings)), num_queries, prompt or read_prompt(None)
    )


def written(stub, passages=PASSAGES, langs=("sw",), store=None, settings=None, **options):
    writer = writer_of(stub)
    settings = settings or QuerySettings()
    return write_questions(
        passages, langs, writer, store or TranslationStore(None), settings, show_progress=False, **options
    )


def reasons(made):
    return {(each.text, each.translation): each.reason for each in made.rejected}


def test_each_passage_gets_questions_in_both_languages():
    with served(Stub(asker)) as stub:
        made = written(stub, langs=("sw", "de"))
    assert [row.id for row in made.rows] == [
        f"p{i}-{lang}-{n}" for lang in ("sw", "de") for i in range(12) for n in (1, 2)
    ]
    row = made.rows[6]
    assert (row.query, row.passage, row.passage_id) == ("how long is river 3?", "the river 3 is long", "p3")
    assert (row.cross_query, row.lang) == ("mto 3 ni mrefu?", "sw")
    assert row.translated_by == "stub, which wrote both questions"
    prompt = stub.bodies[0]["messages"][0]["content"]
    assert "Write 2 different questions" in prompt
    assert "in Swahili (language code sw)" in prompt
    assert '"sw": "the same question in Swahili"' in prompt
    assert "{count}" not in prompt
    schema = stub.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]["1"]["items"]
    assert schema["required"] == ["en", "sw"]


def test_long_passages_come_fewer_at_a_time():
    long = [Text(f"p{i}", f"the river {i} " + "x" * 1400, "en") for i in range(5)]
    huge = Text("p9", "the river 9 " + "x" * 9000, "en")
    with served(Stub(asker)) as stub:
        written(stub, [*long, huge])
    assert sorted(map(len, stub.asked)) == [1, 1, 2, 2]


def test_questions_that_repeat_an_earlier_one_are_left_out():
    def same(text, system):
        number = int(text.split()[2])
        return [
            {"en": f"How long is river {number // 2}?", "sw": f"mto {number}?"},
            {"en": f"what {number}", "sw": f"nini {number // 3}"},
        ]

    with served(Stub(same)) as stub:
        made = written(stub, PASSAGES[:4])
    assert [row.id for row in made.rows] == ["p0-sw-1", "p0-sw-2", "p2-sw-1", "p3-sw-2"]
    assert reasons(made)["How long is river 0?", "mto 1?"] == "repeated: it is that of p0-sw-1"
    assert reasons(made)["what 2", "nini 0"] == "repeated: it is that of p0-sw-2"
    assert made.counts()["sw"]["left out"] == {"repeated": 4}


def test_questions_that_are_not_found_are_left_out_and_take_nothing_from_later_ones(encoder):
    # The words of the passages are known to the encoder, so that the right one is found.
    texts = ["river desert moon", "bread bank court", "drum tree bird", "metal light sound"]
    passages = [Text(str(i), text, "en") for i, text in enumerate(texts)]
    questions = {
        texts[0]: "drum tree bird",
        texts[1]: "bread bank",
        texts[2]: "drum tree bird",
        texts[3]: "metal light",
    }
    ranks = PassageRanks(quiet(encoder), texts)
    with served(Stub(lambda text, system: [{"en": questions[text], "sw": f"nini {text}"}])) as stub:
        made = written(stub, passages, settings=QuerySettings(top_k=1), ranks=ranks)
    assert {row.passage for row in made.rows} == set(texts[1:])
    vectors = quiet(encoder).encode(texts, "passage").astype(np.float64)
    scores = vectors @ quiet(encoder).encode(["drum tree bird"], "query")[0].astype(np.float64)
    rank = int((scores > scores[0]).sum()) + 1
    assert rank > 1
    assert reasons(made) == {("drum tree bird", f"nini {texts[0]}"): f"not found: its passage has rank {rank}"}


def test_ranks_are_those_of_an_independent_computation(encoder):
    texts = [f"{a} {b}" for a in ("river", "moon", "bread", "drum") for b in ("long", "wide", "old", "light")]
    questions, of = ["wide moon", "old bread drum", "light"], [texts[5], texts[3], texts[15]]
    ranks = PassageRanks(quiet(encoder), texts).of(questions, of)
    scores = quiet(encoder).encode(questions, "query").astype(np.float64) @ quiet(encoder).encode(texts, "passage").T
    expected = [int((row > row[texts.index(text)] + 1e-6).sum()) + 1 for row, text in zip(scores, of, strict=True)]
    assert ranks == expected
    assert len(set(ranks)) > 1


def test_questions_that_do_not_say_the_same_are_left_out():
    def answer(text, system):
        return [
            {"en": "how long is the river in 1999?", "sw": "mto una urefu gani?"},
            {"en": "who is it?", "sw": "ni nani?"},
        ]

    with served(Stub(answer)) as stub:
        made = written(stub, PASSAGES[:1], judge=find_faults)
        assert [row.query for row in made.rows] == ["who is it?"]
        (reason,) = reasons(made).values()
        assert "1999" in reason
        assert len(written(stub, PASSAGES[:1]).rows) == 2


def test_nothing_is_asked_twice_and_faults_change_nothing(tmp_path):
    faults = ["500", "broken json", "wrong count", "cut", "refusal", "no choices", "length", "list", "duplicate", "429"]
    with served(Stub(asker)) as stub:
        calm = written(stub)
    with served(Stub(asker, fault=lambda number, texts: faults.pop() if faults else None)) as stub:
        store = TranslationStore(tmp_path)
        stormy = written(stub, store=store)
        assert not faults
        assert stormy.rows == calm.rows
        stub.asked.clear()
        again = written(stub, store=store)
        assert again.rows == calm.rows
        assert again.num_known == {"sw": 12}
        assert not stub.asked
        written(stub, langs=["de"], store=store)
        assert sum(map(len, stub.asked)) == 12  # another language is asked for


@pytest.mark.parametrize(
    "bad",
    [
        [{"en": "how?", "sw": "the same question in Swahili"}],
        [],
        "how?",
        [{"en": "how?"}],
        [{"en": "how?", "sw": " "}],
        [["how?", "vipi?"]],
        {"en": 1, "sw": 2},
        None,
    ],
)
def test_answers_without_questions_are_given_up(bad):
    def answer(text, system):
        return bad if text == PASSAGES[1].text else asker(text, system)

    with served(Stub(answer)) as stub:
        writer = writer_of(stub, retries=1)
        made = write_questions(
            PASSAGES[:3], ["sw"], writer, TranslationStore(None), QuerySettings(), show_progress=False
        )
    assert {row.passage_id for row in made.rows} == {"p0", "p2"}
    (rejected,) = made.rejected
    assert (rejected.text, rejected.translation) == (PASSAGES[1].text, "")
    assert rejected.reason.startswith("no question: the answer ")


def test_more_questions_than_asked_and_one_alone():
    with served(Stub(lambda text, system: asker(text, system) * 2)) as stub:
        (_, answer), *_ = writer_of(stub, 3).translate([PASSAGES[0].text], "sw")
        assert len(questions_of(answer)) == 3
    with served(Stub(lambda text, system: asker(text, system)[0])) as stub:
        (_, answer), *_ = writer_of(stub).translate([PASSAGES[0].text], "sw")
        assert questions_of(answer) == [("how long is river 0?", "mto 0 ni mrefu?")]


def test_passages_are_drawn_by_seed():
    with served(Stub(asker)) as stub:
        made = [
            [row.passage_id for row in written(stub, settings=QuerySettings(num_passages=4, seed=seed)).rows]
            for seed in (0, 0, 1)
        ]
    assert made[0] == made[1] != made[2]
    assert len(set(made[0])) == 4


def test_no_question_at_all():
    with served(Stub(lambda text, system: [])) as stub, pytest.raises(InputError, match="No question can be used"):
        write_questions(
            PASSAGES[:2],
            ["sw"],
            writer_of(stub, retries=0),
            TranslationStore(None),
            QuerySettings(),
            show_progress=False,
        )


def test_passages_of_files_and_collections(tmp_path):
    path, notes = tmp_path / "passages.jsonl", []
    write_jsonl(
        path,
        [
            {"text": "one"},
            {"text": ""},
            {"text": " one "},
            {"text": "zwei", "lang": "de"},
            {"text": "two", "title": "T", "id": "x"},
        ],
    )
    passages = read_passages(path, notes)
    assert [(p.text, p.id[:2]) for p in passages] == [("one", "p-"), ("T two", "x")]
    assert [note.partition(", ")[2] for note in notes] == [
        "empty: 1.",
        "not English: 1.",
        "with the text of an earlier one: 1.",
    ]
    collection = make_collection("c", PASSAGES, [("q", "p0", {"en": "what?"})])
    write_collection(tmp_path / "collection", collection)
    assert read_passages(tmp_path / "collection", []) == PASSAGES


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([{"text": "eins", "lang": "de"}], "no English passage"),
        ([{"id": "a", "text": "one"}, {"id": "a", "text": "two"}], "'a' for two passages"),
        ([{"id": "a b", "text": "one"}], "white space"),
        ([{"number": 7}], "name the column"),
    ],
)
def test_bad_passages(tmp_path, records, said):
    write_jsonl(tmp_path / "passages.jsonl", records)
    with pytest.raises(InputError, match=said):
        read_passages(tmp_path / "passages.jsonl", [])


def test_prompts_of_users(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text('Ask {count} in {language}, as {"json": 1}. {other}', encoding="utf-8")
    with served(Stub(asker)) as stub:
        writer = writer_of(stub, prompt=read_prompt(path))
        list(writer.translate([PASSAGES[0].text], "sw"))
        assert stub.bodies[0]["messages"][0]["content"].startswith('Ask 2 in Swahili, as {"json": 1}. {other}\n')
        assert writer.identity("sw") != writer_of(stub).identity("sw") != writer_of(stub, 3).identity("sw")
    assert json.dumps(writer.identity("sw"))
    for content, said in ((b"Ask.", "has no {language}"), (b"\xff", "UTF-8")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_prompt(path)
    with pytest.raises(InputError, match="does not exist"):
        read_prompt(tmp_path / "none")
    assert text_key(read_prompt(None))
