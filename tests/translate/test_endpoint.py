"""The endpoint translator against a stub server on loopback that fails in every way that servers do."""

import random
import threading
import time

import pytest
from bad_inputs import damages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stub_endpoint import OF_ANSWER, PASSING, Stub, served

from clear_ir.data.files import InputError
from clear_ir.translate import chat_endpoint, numbered_requests
from clear_ir.translate.chat_endpoint import base_url
from clear_ir.translate.endpoint import EndpointTranslator
from clear_ir.translate.kinds import load_translator
from clear_ir.translate.settings import EndpointSettings
from clear_ir.translate.spending import LimitReached, Spending
from clear_ir.translate.translator import Choice

TEXTS = [f"what is river {i}?" for i in range(23)]
KEY = "sk-secret-0123456789abcdef"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.002)
    monkeypatch.delenv("CLEAR_IR_API_KEY", raising=False)


def translator_of(stub, model="stub", **options):
    options = {"texts_per_request": 4, "requests_at_once": 3, "answer_timeout": 0.3} | options
    return EndpointTranslator(stub.url, model, EndpointSettings(**options))


def translations(translator, texts=TEXTS, lang="de"):
    """The translations by number. Each number comes once."""
    made = list(translator.translate(texts, lang))
    assert sorted(number for number, _ in made) == list(range(len(texts)))
    return dict(made)


EXPECTED = {i: f"de {text}" for i, text in enumerate(TEXTS)}


def test_several_texts_in_a_request_and_several_requests_at_once():
    with served(Stub(answer=lambda text, system: (time.sleep(0.02), f"de {text}")[1])) as stub:
        assert translations(translator_of(stub)) == EXPECTED
    assert sorted(map(len, stub.asked)) == [3, 4, 4, 4, 4, 4]
    assert stub.most_at_once == 3
    prompt = stub.bodies[0]["messages"][0]["content"]
    assert "from English into German (language code de)" in prompt
    assert "{" not in prompt.replace('{"1"', "")  # no blank is left
    schema = stub.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == list(schema["properties"])
    assert stub.bodies[0]["temperature"] == 0


@pytest.mark.parametrize("fault", PASSING + OF_ANSWER)
def test_after_each_fault_all_is_as_without(fault):
    with served(Stub(fault=lambda number, texts: fault if number in (0, 3, 4) else None)) as stub:
        translator = translator_of(stub)
        assert translations(translator) == EXPECTED
    assert stub.faults == [fault] * 3
    assert not translator.problems
    assert sorted(stub.answered) == sorted(TEXTS)  # no text was answered twice


def test_100_faults_at_random():
    draw = random.Random(0)
    faults = [fault for fault in (PASSING + OF_ANSWER) * 5 if fault not in ("slow", "drip", "429 date")]
    faults += ["slow", "drip", "429 date"]
    draw.shuffle(faults)
    faults = faults[:100]

    def fault(number, texts):
        with lock:
            return faults.pop() if faults and draw.random() < 0.5 else None

    lock = threading.Lock()
    texts = [f"what is river {i}?" for i in range(300)]
    with served(Stub(fault=fault)) as stub:
        translator = translator_of(stub, retries=12, texts_per_request=3)
        assert translations(translator, texts) == {i: f"de {text}" for i, text in enumerate(texts)}
    assert len(stub.faults) == 100
    assert not translator.problems
    assert sorted(stub.answered) == sorted(texts)


@pytest.mark.parametrize("fault", ["500", "400", *OF_ANSWER])
def test_a_text_that_never_gets_an_answer_is_given_up_and_the_others_are_not(fault):
    bad = TEXTS[5]
    with served(Stub(fault=lambda number, texts: fault if bad in texts else None)) as stub:
        translator = translator_of(stub, retries=2)
        assert translations(translator) == EXPECTED | {5: ""}
    assert list(translator.problems) == [bad]
    assert len(translator.problems[bad]) > 10
    # A request of it alone, and two more.
    assert stub.asked.count([bad]) == (1 if fault == "400" else 3)
    assert sorted(stub.answered) == sorted(text for text in TEXTS if text != bad)


def test_the_reason_says_what_the_server_said():
    with served(Stub(fault=lambda number, texts: "500" if TEXTS[0] in texts else None)) as stub:
        translator = translator_of(stub, retries=1)
        translations(translator)
    assert translator.problems == {TEXTS[0]: "HTTP 500: no: 500, 2 times"}


def test_all_threads_wait_as_long_as_the_server_asks():
    with served(Stub(fault=lambda number, texts: "429 date" if number == 0 else None)) as stub:
        translations(translator_of(stub, requests_at_once=1))
    assert stub.times[1] - stub.times[0] > 0.1  # the date is 0.2 to 1.2 s ahead
    with served(Stub(fault=lambda number, texts: "429 long" if number == 2 else None)) as stub:
        made = []
        with pytest.raises(InputError, match="asks to wait 4,000 s"):
            made.extend(translator_of(stub).translate(TEXTS, "de"))
    assert time.monotonic() - stub.times[0] < 5


def test_a_busy_server_is_no_reason_to_give_up_a_text(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "MOST_BUSY", 8)
    monkeypatch.setattr(chat_endpoint, "LONGEST_WAIT", 0.01)
    with served(Stub(fault=lambda number, texts: "429" if number < 15 else None)) as stub:
        translator = translator_of(stub, retries=0)
        assert translations(translator) == EXPECTED
    assert not translator.problems
    stub = Stub(fault=lambda number, texts: "429" if number > 2 else None)
    with served(stub), pytest.raises(InputError, match="too many requests 9 times .*with fewer requests at once"):
        list(translator_of(stub, retries=0).translate(TEXTS, "de"))
    assert len(stub.answered) == 12


def test_a_repeated_question_has_another_temperature():
    with served(Stub(fault=lambda number, texts: "refusal" if number == 0 else None)) as stub:
        translations(translator_of(stub, texts_per_request=1, requests_at_once=1))
    repeated = [
        body["temperature"] for asked, body in zip(stub.asked, stub.bodies, strict=True) if asked == stub.asked[0]
    ]
    assert repeated == [0, 0.5]


@pytest.mark.parametrize(
    "refused",
    [("json_schema",), ("response_format",), ("max_tokens", "temperature"), ("temperature", "response_format")],
)
def test_parameters_that_a_server_does_not_know_are_left_out(refused):
    with served(Stub(refused=refused)) as stub:
        assert translations(translator_of(stub)) == EXPECTED
    last = stub.bodies[-1]
    assert not set(refused) & set(last)
    assert ("max_completion_tokens" in last) == ("max_tokens" in refused)
    if refused == ("json_schema",):
        assert last["response_format"] == {"type": "json_object"}
    # It is learnt once: each thread may ask in vain before the first of them has learnt it.
    assert len(stub.asked) <= 6 + 3 * 3


@settings(max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(damages(), min_size=1, max_size=2))
def test_damaged_responses(changes):
    """Each text gets its translation or a reason, whatever comes."""

    def damage(data):
        for change in changes:
            data = change(data) if data is not None else None
        return data or b""

    with served(Stub()) as stub:
        stub.damage = damage
        translator = translator_of(stub, retries=0)
        made = translations(translator, TEXTS[:2])
    for number, text in made.items():
        assert text or translator.problems[TEXTS[number]]
        assert text.encode().decode() == text


def test_a_server_that_calls_an_unknown_parameter_its_own_failure():
    stub = Stub(refused=("response_format",))
    stub.status = 500
    with served(stub):
        assert translations(translator_of(stub, retries=0)) == EXPECTED


def test_words_around_json():
    answer = '<think>{"1": "no"}</think>\nSure:\n```json\n{"1": "ja {x}", "2": "nein"}\n```\nDone'
    assert numbered_requests.read_numbered(answer, 2) == ["ja {x}", "nein"]


def test_wrong_key_and_no_key(monkeypatch):
    with served(Stub(key=KEY)) as stub:
        with pytest.raises(InputError, match="refuses a request without a key .*set the environment variable CLEAR_IR"):
            translations(translator_of(stub))
        monkeypatch.setenv("MY_KEY", f"{KEY}-wrong")
        with pytest.raises(InputError, match=r"refuses the key in \$MY_KEY .*wrong key: Bearer \[key\]"):
            translations(translator_of(stub, key_variable="MY_KEY"))
        monkeypatch.setenv("MY_KEY", f"{KEY}\n")
        assert translations(translator_of(stub, key_variable="MY_KEY")) == EXPECTED


def test_unreachable_and_unknown_and_redirected():
    with served(Stub()) as stub:
        pass
    with pytest.raises(InputError, match=f"{stub.url} cannot be reached .*check the URL"):
        translations(translator_of(stub))
    with served(Stub(fault=lambda number, texts: "404")) as stub, pytest.raises(InputError, match="no model 'stub'"):
        translations(translator_of(stub))
    with served(Stub(fault=lambda number, texts: "402")) as stub, pytest.raises(InputError, match="is used up"):
        translations(translator_of(stub))
    with served(Stub(fault=lambda number, texts: "307")) as stub, pytest.raises(InputError, match="redirects to"):
        translations(translator_of(stub))
    assert len(stub.asked) <= 3


def test_an_endpoint_that_breaks_down_ends_the_run_and_nothing_made_is_lost():
    made = {}
    stub = Stub(fault=lambda number, texts: "500" if number > 2 else None)
    with served(stub), pytest.raises(InputError, match="failed 8 requests in a row, the last with: HTTP 500"):
        for number, text in translator_of(stub, retries=1).translate(TEXTS, "de"):
            made[number] = text
    assert sorted(filter(None, made.values())) == sorted(f"de {text}" for text in stub.answered)
    assert len(stub.answered) > 8


def test_a_server_that_goes_away_ends_the_run():
    with served(Stub()) as stub:
        translator = translator_of(stub, retries=2)
        translations(translator)
    with pytest.raises(InputError, match="failed 8 requests in a row, the last with: the endpoint cannot be reached"):
        list(translator.translate(TEXTS, "sw"))


def test_a_model_that_answers_nothing_usable_is_named():
    texts = [f"text {i}" for i in range(101)]
    stub = Stub(fault=lambda number, texts: "refusal")
    with served(stub), pytest.raises(InputError, match="'stub' gave no usable answer to the first 20 texts.*I'm sorry"):
        list(translator_of(stub, retries=0, texts_per_request=1).translate(texts, "de"))
    assert len(stub.asked) < 30


def test_an_error_ends_the_waits_of_other_threads(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 30)
    begun = time.monotonic()

    def fault(number, texts):
        if number == 0:
            time.sleep(0.1)
            return "402"
        return "503"

    with served(Stub(fault=fault)) as stub, pytest.raises(InputError, match="used up"):
        list(translator_of(stub).translate(TEXTS, "de"))
    assert time.monotonic() - begun < 10


def test_what_a_server_says_cannot_reach_the_terminal():
    said = "\x1b[2J\ud800 new\nline " + "x" * 500
    with served(Stub(key=KEY)) as stub:
        stub.refusal = said
        with pytest.raises(InputError) as error:
            translations(translator_of(stub))
    assert "[2J new line xxx" in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_a_run_that_is_broken_off_leaves_no_thread_behind(monkeypatch):
    with served(Stub(fault=lambda number, texts: "429" if number > 1 else None)) as stub:
        translator = translator_of(stub)
        monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 60)
        before = threading.active_count()
        made = translator.translate(TEXTS, "de")
        next(made)
        time.sleep(0.05)
        made.close()
        for _ in range(100):
            time.sleep(0.01)
            if threading.active_count() <= before:
                break
        else:
            raise AssertionError(threading.enumerate())


def test_the_limit_of_tokens_is_never_passed_and_what_was_made_comes():
    with served(Stub()) as stub:
        translator = translator_of(stub, token_limit=3000, texts_per_request=2)
        made = {}
        with pytest.raises(LimitReached, match=r"limit of 3,000 tokens is reached: [\d,]+ are spent"):
            for number, text in translator.translate([f"{text} {i}" for i in range(10) for text in TEXTS], "de"):
                made[number] = text
    assert sorted(made.values()) == sorted(f"de {text}" for text in stub.answered)
    assert 0 < translator.endpoint.spending.spent <= 3000
    assert translator.endpoint.spending.spent == 10 * len(stub.answered)
    assert len(made) > 50


def test_spending_counts_what_is_not_known_as_the_most():
    spending = Spending(100)
    with spending.reserve(60) as first:
        first.settle(10)
    with pytest.raises(RuntimeError), spending.reserve(50):
        raise RuntimeError
    assert spending.spent == 60
    with pytest.raises(LimitReached), spending.reserve(41):
        pass
    with spending.reserve(40):
        pass
    assert spending.spent == 100


def test_a_request_waits_for_what_others_really_cost():
    spending, order = Spending(100), []

    def ask():
        with spending.reserve(90) as second:
            order.append("second")
            second.settle(5)

    with spending.reserve(60) as first:
        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.05)
        order.append("first")
        first.settle(10)
    thread.join(5)
    assert order == ["first", "second"]
    assert spending.spent == 15


def test_the_key_comes_back_to_nobody(monkeypatch, caplog):
    """A server that repeats the key in its answers."""
    monkeypatch.setenv("CLEAR_IR_API_KEY", KEY)
    caplog.set_level(0)
    with served(Stub(key=KEY, answer=lambda text, system: f"{KEY} {text}")) as stub:
        translator = translator_of(stub)
        made = translations(translator)
    assert made[0] == f"[key] {TEXTS[0]}"
    for text in (caplog.text, repr(vars(translator)), repr(translator.identity("de"))):
        assert KEY not in text


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://x.org/api/v2/chat/completions", "https://x.org/api/v2"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_urls(url, base):
    assert base_url(url) == base


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://x:99999", "file:///etc/passwd", "http://[x"]
)
def test_what_is_no_url(url):
    with pytest.raises(InputError, match="no URL"):
        base_url(url)


@pytest.mark.parametrize("url", ["http://me:pass@x/v1", "https://x/v1?key=abc", "https://x/v1#abc"])
def test_urls_with_secrets_are_refused_and_not_repeated(url):
    with pytest.raises(InputError, match="key in the environment") as error:
        base_url(url)
    assert "pass@" not in str(error.value)
    assert "abc" not in str(error.value)


def test_what_the_output_depends_on():
    def identity(url="http://x/v1", model="m", **settings):
        return EndpointTranslator(url, model, EndpointSettings(**settings)).identity("de")

    assert identity() == identity(retries=9, token_limit=5, key_variable="OTHER")
    assert (
        len({str(i) for i in (identity(), identity(url="http://y"), identity(model="n"), identity(temperature=1))}) == 4
    )


def test_the_choice_of_an_endpoint():
    assert load_translator(Choice("m", endpoint="http://x")).name == "m"
    with pytest.raises(InputError, match="No model"):
        load_translator(Choice(endpoint="http://x"))
