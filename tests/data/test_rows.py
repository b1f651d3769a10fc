import pytest
from datasets import Dataset

from clear_ir.data.files import InputError, read_jsonl
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import ParallelRow, read_parallel_rows, read_translations, write_parallel_rows
from clear_ir.data.splits import cross_folds, hold_out
from clear_ir.data.training_rows import columns_of, read_training_rows, training_columns


def parallel(**changes):
    row = {"id": "1", "query": "what", "passage": "the moon", "passage_id": "p1", "cross_query": "nini", "lang": "sw"}
    return row | changes


def training(n=2, **changes):
    row = {"anchor": "what", "positive": "the moon", "cross_anchor": "nini", "lang": "sw"}
    row |= {f"negative_{i}": f"passage {i}" for i in range(1, n + 1)}
    row |= {f"neg_query_{i}": f"swali {i}" for i in range(1, n + 1)}
    return row | changes


def test_parallel_rows_survive_writing_and_reading(tmp_path):
    rows = [ParallelRow(**parallel()), ParallelRow(**parallel(id="2", cross_query="nani"))]
    write_parallel_rows(tmp_path / "rows.jsonl", rows)
    assert read_parallel_rows(tmp_path / "rows.jsonl")[0] == rows


def test_mapping_and_language_and_ids_are_filled_in(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"q": "what", "passage": "the moon", "frage": "was"}] * 2)
    rows, _ = read_parallel_rows(tmp_path / "a.jsonl", {"query": "q", "cross_query": "frage"}, lang="de")
    assert [row.id for row in rows] == ["de-1", "de-2"]
    assert rows[0].passage_id == rows[1].passage_id


def test_null_fields_are_left_out_and_strict_makes_them_an_error(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [parallel(), parallel(id="2", passage=None), parallel(id="3", query=" ")])
    rows, rejected = read_parallel_rows(tmp_path / "a.jsonl")
    assert len(rows) == 1
    assert [reason for _, reason in rejected.reasons] == ["'passage' is null or empty", "'query' is null or empty"]
    with pytest.raises(InputError, match="line 2: 'passage' is null"):
        rejected.raise_first()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"query": "a", "passage": "b"}],
            "line 1: no column 'cross_query' among query, passage; it holds the query in the target",
        ),
        ([{"query": "a", "passage": "b", "cross_query": "c"}], "no column 'lang' .* give the language"),
        ([parallel(), parallel()], "line 2: the id '1' was already used"),
        ([parallel(query=None)], "no usable row"),
    ],
)
def test_unusable_parallel_rows(tmp_path, rows, message):
    write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=message):
        read_parallel_rows(tmp_path / "a.jsonl")


def test_unknown_name_in_mapping(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [parallel()])
    with pytest.raises(InputError, match="mapping names 'qurey'") as refused:
        read_parallel_rows(tmp_path / "a.jsonl", {"qurey": "query"})
    assert refused.value.settings == ("mapping",)


def test_training_rows_come_in_the_order_the_loss_reads(tmp_path):
    row = training()
    write_jsonl(tmp_path / "t.jsonl", [dict(reversed(row.items()))])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert rows.columns == [
        "anchor", "positive", "negative_1", "negative_2", "cross_anchor", "neg_query_1", "neg_query_2",
    ]  # fmt: skip
    assert (rows.num_negatives, rows.num_neg_queries) == (2, 2)
    assert rows.records[0]["lang"] == "sw"


def test_the_authors_names_are_understood(tmp_path):
    row = {"en_question": "what", "paragraphs": "the moon", "neg_1": "a", "lang_question": "was", "neg_query_1": "b"}
    write_jsonl(tmp_path / "t.jsonl", [row])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert [rows.records[0][column] for column in rows.columns] == ["what", "the moon", "a", "was", "b"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"anchor": "a", "positive": "b"}, "no column 'cross_anchor'"),
        (training(negative_1=None), "'negative_1' is null or empty"),
        (training() | {"negative_4": "x"}, "not numbered 1, 2"),
    ],
)
def test_unusable_training_rows(tmp_path, row, message):
    write_jsonl(tmp_path / "t.jsonl", [row])
    with pytest.raises(InputError, match=message):
        read_training_rows(tmp_path / "t.jsonl")


def test_hold_out_never_splits_a_group():
    rows = [(f"g{i % 10}", i) for i in range(40)]
    kept, held = hold_out(rows, 0.2, 0, lambda row: [row[0]])
    assert sorted(kept + held) == sorted(rows)
    assert len({group for group, _ in held}) == 2
    assert not {group for group, _ in held} & {group for group, _ in kept}
    assert hold_out(rows, 0.0, 0, lambda row: [row[0]]) == (rows, [])
    assert hold_out(rows, 0.2, 1, lambda row: [row[0]])[1] != held


def test_an_id_may_be_that_of_a_question_in_several_languages(tmp_path):
    rows = [parallel(id="q", passage=["b", "c"], lang=lang) for lang in ("de", "sw")]
    for row in rows:
        del row["passage_id"]
    write_jsonl(tmp_path / "a.jsonl", rows)
    notes = []
    read, _ = read_parallel_rows(tmp_path / "a.jsonl", notes=notes)
    assert [row.id for row in read] == ["q", "q-2", "q-sw", "q-2-sw"]
    assert notes == ["Rows whose id another language has already, so that their own was added to it: 2."]
    write_jsonl(tmp_path / "a.jsonl", [*rows, rows[1]])
    with pytest.raises(InputError, match="line 3: the id 'q-sw' was already used in .*line 2"):
        read_parallel_rows(tmp_path / "a.jsonl")


@pytest.mark.parametrize("column", ["id", "passage_id"])
def test_ids_with_white_space_are_refused_when_they_are_read(tmp_path, column):
    rows = [{"query": "a", "passage": "b", "cross_query": "c", "lang": "sw", column: name} for name in ("ok", "row 0")]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(InputError, match=f"line 2: the {column} 'row 0' contains white space"):
        read_parallel_rows(tmp_path / "rows.jsonl")


def test_hold_out_keeps_connected_rows_together():
    rows = [("p1", "a"), ("p1", "b"), ("p2", "b"), ("p2", "c"), ("p3", "d"), ("p4", "e"), ("p5", "e  "), ("p6", "f")]
    for seed in range(20):
        train, held = hold_out(rows, 0.3, seed, lambda row: row)
        assert train
        assert held
        for place in (0, 1):
            assert {row[place].strip() for row in train}.isdisjoint({row[place].strip() for row in held})


def test_folds_hold_out_every_group_once_and_keep_connected_rows_together():
    rows = [(f"g{i % 11}", f"q{i}") for i in range(44)]
    folds = cross_folds(rows, 3, 0, lambda row: row, most=100)
    assert sorted(row for _, held in folds for row in held) == sorted(rows)
    for kept, held in folds:
        assert sorted(kept + held) == sorted(rows)
        assert {group for group, _ in held}.isdisjoint({group for group, _ in kept})
    assert sorted(len(held) for _, held in folds) == [12, 16, 16]
    assert cross_folds(rows, 3, 1, lambda row: row, most=100) != folds
    # With a limit fewer are asked, whole groups, and none of the others is fitted on.
    for (kept, held), (all_kept, all_held) in zip(cross_folds(rows, 3, 0, lambda row: row, most=5), folds, strict=True):
        assert kept == all_kept
        assert len(held) == 8
        assert set(held) < set(all_held)


def test_a_mapped_column_wins_over_one_that_has_our_name(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"question": "mine", **training(anchor="theirs")}])
    rows = read_training_rows(tmp_path / "a.jsonl", {"anchor": "question"})
    assert rows.records[0]["anchor"] == "mine"


def test_nan_is_null_zero_is_text_and_lists_are_no_text(tmp_path):
    rows = [parallel(), parallel(id="2", passage=float("nan")), parallel(id="3", query=0, passage_id="p2")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    read, rejected = read_parallel_rows(tmp_path / "a.jsonl")
    assert [row.query for row in read] == ["what", "0"]
    assert [reason for _, reason in rejected.reasons] == ["'passage' is null or empty"]
    write_jsonl(tmp_path / "b.jsonl", [parallel(query=["who", "what"])])
    with pytest.raises(InputError, match="line 1: 'query' holds a list and not one text"):
        read_parallel_rows(tmp_path / "b.jsonl")
    write_jsonl(tmp_path / "c.jsonl", [training(negative_1={"text": "x"})])
    with pytest.raises(InputError, match="line 1: 'negative_1' holds a dict and not one text"):
        read_training_rows(tmp_path / "c.jsonl")


@pytest.mark.parametrize("lang", ["en", "eng", "en-US", "eng_Latn", "English"])
def test_rows_whose_language_is_english_are_left_out_and_counted(tmp_path, lang):
    write_jsonl(tmp_path / "a.jsonl", [parallel(), parallel(id="2", lang=lang)])
    rows, rejected = read_parallel_rows(tmp_path / "a.jsonl")
    assert [row.id for row in rows] == ["1"]
    [(where, reason)] = rejected.reasons
    assert where.endswith("line 2")
    assert reason.startswith(f"'lang' is {lang!r}, but it must be the language of the target-language query")


def test_columns_of_a_dataset_come_in_the_order_the_loss_reads():
    names = ["lang", "neg_query_1", "cross_anchor", "id", "negative_2", "positive", "neg_1", "anchor", "neg_query_2"]
    dataset = Dataset.from_list([dict.fromkeys(names, "text")])
    wanted = ["anchor", "positive", "neg_1", "negative_2", "cross_anchor", "neg_query_1", "neg_query_2"]
    assert columns_of(dataset) == wanted
    assert dataset.select_columns(columns_of(dataset)).column_names == wanted


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("cross_anchor", "The dataset: no column 'cross_anchor' among anchor, positive"),
        ("negative_1", "The dataset: the columns negative_2 are not numbered 1, 2"),
    ],
)
def test_a_dataset_that_lacks_a_column_of_the_loss_is_refused(lacking, message):
    names = [name for name in training_columns(2, 2) if name != lacking]
    with pytest.raises(InputError, match=message):
        columns_of(Dataset.from_list([dict.fromkeys(names, "text")]))


def test_rows_with_other_numbers_of_negatives_are_counted_and_one_does_not_shorten_all(tmp_path):
    short, longer = training(1, anchor="short"), training(3, anchor="long")
    padded = training(2, anchor="padded", negative_3=None, neg_query_3=float("nan"))  # as a table with nulls has it
    uneven = {name: text for name, text in training(2).items() if name != "neg_query_2"}
    write_jsonl(tmp_path / "t.jsonl", [short, training(2), longer, padded, uneven])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert [record["anchor"] for record in rows.records] == ["what", "long", "padded"]
    assert rows.columns == training_columns(2, 2)
    assert all(record.keys() == {*rows.columns, "lang"} for record in rows.records)
    most = "Most rows have 2 negative passages and 2 negative queries."
    assert rows.notes == [
        f"{most} Rows with fewer are left out: 2 of 5.",
        f"{most} Rows with more lose what is beyond: 1 of 3.",
    ]


def test_rows_of_one_size_have_no_notes(tmp_path):
    write_jsonl(tmp_path / "t.jsonl", [training(2), training(2)])
    assert read_training_rows(tmp_path / "t.jsonl").notes == []


@pytest.mark.parametrize("text", ["half of \ud83d", "\udc00"])
def test_half_a_character_is_left_out_with_its_line_or_refused(tmp_path, text):
    write_jsonl(tmp_path / "a.jsonl", [parallel(), parallel(id="2", query=text)])
    rows, rejected = read_parallel_rows(tmp_path / "a.jsonl")
    assert len(rows) == 1
    [(where, reason)] = rejected.reasons
    assert where.endswith("line 2")
    assert "'query' holds \\ud" in reason
    write_jsonl(tmp_path / "t.jsonl", [training(), training(negative_2=text)])
    with pytest.raises(InputError, match=r"line 2: 'negative_2' holds \\ud"):
        read_training_rows(tmp_path / "t.jsonl")


def test_values_that_are_no_text(tmp_path):
    write_jsonl(
        tmp_path / "a.jsonl", [parallel(query=False), parallel(id="2", query="0"), parallel(id="3", query=True)]
    )
    assert [row.query for row in read_parallel_rows(tmp_path / "a.jsonl")[0]] == ["False", "0", "True"]
    write_jsonl(tmp_path / "b.jsonl", [parallel(passage=float("inf"))])
    with pytest.raises(InputError, match="'passage' holds inf, which is no text"):
        read_parallel_rows(tmp_path / "b.jsonl")


def test_a_language_is_written_as_its_tag_and_others_are_no_language(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [parallel(lang="deu_Latn"), parallel(id="2", lang="DE")])
    assert [row.lang for row in read_parallel_rows(tmp_path / "a.jsonl")[0]] == ["de", "de"]
    write_jsonl(tmp_path / "b.jsonl", [parallel(), parallel(id="2", lang="German")])
    with pytest.raises(InputError, match="line 2: 'lang' is 'German', which is no language code; did you mean de"):
        read_parallel_rows(tmp_path / "b.jsonl")
    with pytest.raises(InputError, match="did you mean de") as refused:
        read_parallel_rows(tmp_path / "b.jsonl", lang="German")
    assert refused.value.settings == ("lang",)


P1, P2 = {"docid": "1", "title": "Moon", "text": "It is far."}, {"docid": "2", "title": "", "text": "It is near."}


@pytest.mark.parametrize(
    ("record", "passages"),
    [
        (
            {"query": "Where is it?", "pos": ["It is far.", "It is near."], "neg": ["No."]},
            ["It is far.", "It is near."],
        ),
        (
            {"query": "Where is it?", "positive_passages": [P1, P2], "negative_passages": []},
            ["Moon It is far.", "It is near."],
        ),
        ({"anchor": "Where is it?", "positive": "It is far.", "negative": "No."}, ["It is far."]),
        ({"query": "Where is it?", "passage": ["It is far.", None, "It is near."]}, ["It is far.", "It is near."]),
        ({"query": "Where is it?", "passage": {"title": "Moon", "text": "It is far."}}, ["Moon It is far."]),
        ({"en_question": "Where is it?", "paragraphs": "It is far.", "neg_1": "No."}, ["It is far."]),
    ],
)
@pytest.mark.parametrize("cross", ["cross_query", "lang_question", "question_de"])
def test_each_passage_of_a_known_format_is_a_row(tmp_path, record, passages, cross):
    write_jsonl(tmp_path / "a.jsonl", [{**record, cross: "Wo ist das?"}] * 2)
    rows, rejected = read_parallel_rows(tmp_path / "a.jsonl", lang="de")
    assert [row.passage for row in rows] == passages * 2
    assert {(row.query, row.cross_query, row.lang) for row in rows} == {("Where is it?", "Wo ist das?", "de")}
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.passage_id for row in rows}) == len(passages)
    assert not rejected.reasons


@pytest.mark.parametrize(
    ("passage", "message"),
    [
        ({"id": 1}, "'passage' holds an object with id; give a text, or an object with text"),
        ([["a"]], "'passage' holds a list of lists; give a list of texts, as FlagEmbedding does"),
    ],
)
def test_objects_and_lists_that_are_no_passages(tmp_path, passage, message):
    write_jsonl(tmp_path / "a.jsonl", [parallel(passage=passage)])
    with pytest.raises(InputError, match=message):
        read_parallel_rows(tmp_path / "a.jsonl")


def test_a_record_without_any_passage_is_left_out(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [parallel(), parallel(id="2", passage=[])])
    assert [reason for _, reason in read_parallel_rows(tmp_path / "a.jsonl")[1].reasons] == [
        "'passage' is null or empty"
    ]


@pytest.mark.parametrize(
    "record",
    [
        {
            "query": "Who is it?",
            "pos": ["She."],
            "neg": ["He.", "They."],
            "pos_scores": [1.0],
            "prompt": "Find it now.",
        },
        {
            "query": "Who is it?",
            "positive_passages": [{"text": "She."}],
            "negative_passages": [{"text": "He."}, {"text": "They."}],
        },
        {"anchor": "Who is it?", "positive": "She.", "negative_1": "He.", "negative_2": "They."},
        {"anchor": "Who is it?", "positive": "She.", "negative": ["He.", "They."]},
        {"en_question": "Who is it?", "paragraphs": "She.", "neg_1": "He.", "neg_2": "They."},
    ],
)
@pytest.mark.parametrize("cross", ["cross_anchor", "lang_question", "cross_query", "question_de"])
def test_training_rows_of_known_formats(tmp_path, record, cross):
    write_jsonl(tmp_path / "t.jsonl", [{**record, cross: "Wer ist das?", "neg_queries": ["Wo ist er?"]}])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert [rows.records[0][column] for column in rows.columns] == [
        "Who is it?", "She.", "He.", "They.", "Wer ist das?", "Wo ist er?",
    ]  # fmt: skip
    assert len(rows.records[0]) == len(rows.columns)


def test_each_positive_is_a_training_row(tmp_path):
    record = {"query": "Who is it?", "pos": ["She.", "Ann."], "neg": ["He."], "cross_query": "Wer ist das?"}
    write_jsonl(tmp_path / "t.jsonl", [record])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert [(row["positive"], row["negative_1"]) for row in rows.records] == [("She.", "He."), ("Ann.", "He.")]


@pytest.mark.parametrize("read", [read_parallel_rows, read_training_rows])
def test_formats_without_a_translated_query_say_what_is_lacking(tmp_path, read):
    write_jsonl(tmp_path / "t.jsonl", [{"query": "Who is it?", "pos": ["She."], "neg": ["He."]}])
    with pytest.raises(
        InputError, match="it holds the query in the target language: translate the queries with clear-ir translate"
    ):
        read(tmp_path / "t.jsonl")


def test_languages_of_training_rows_and_translations_have_one_code(tmp_path):
    row = {"anchor": "a", "positive": "b", "negative_1": "c", "cross_anchor": "d", "neg_query_1": "e"}
    pair = {"english": "a", "translation": "d"}
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [row | {"lang": "deu_Latn"}, row | {"lang": "ger"}, row | {"lang": None}])
    assert [record.get("lang") for record in read_training_rows(path).records] == ["de", "de", None]
    write_jsonl(path, [pair | {"lang": "swh_Latn"}, pair])
    assert [translation.lang for translation in read_translations(path)] == ["sw", "xx"]
    for read, record in ((read_training_rows, row), (read_translations, pair)):
        for lang, said in (("all", "stands for all languages"), ("German", "did you mean de?")):
            write_jsonl(path, [record, record | {"lang": lang}])
            with pytest.raises(InputError, match=f"line 2: 'lang' is '{lang}', which .*{said}"):
                read(path)


@pytest.mark.parametrize("read", [read_parallel_rows, read_training_rows])
def test_a_table_without_rows_is_refused(tmp_path, read):
    Dataset.from_dict({"query": [], "passage": [], "cross_query": []}).to_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(InputError, match="holds no rows; give at least one"):
        read(tmp_path / "a.parquet")


def test_the_language_that_the_user_gives_wins_over_that_of_a_column_name(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"query": "Who is it?", "passage": "She.", "query_sw": "Ni nani?"}])
    notes = []
    assert [row.lang for row in read_parallel_rows(tmp_path / "a.jsonl", lang="de", notes=notes)[0]] == ["de"]
    assert notes == ["Columns: query = query, passage = passage, cross_query = query_sw."]


def test_a_translated_passage_is_kept_and_rows_without_one_are_counted(tmp_path):
    rows = [
        ParallelRow(**parallel(cross_passage="mwezi")),
        ParallelRow(**parallel(id="2", passage="a", passage_id="q")),
    ]
    write_parallel_rows(tmp_path / "rows.jsonl", rows)
    notes = []
    assert read_parallel_rows(tmp_path / "rows.jsonl", notes=notes)[0] == rows
    assert notes == ["Rows without a cross_passage, which others have: 1 of 2."]
    records = [record for _, record in read_jsonl(tmp_path / "rows.jsonl")]
    assert [record["cross_passage"] for record in records] == ["mwezi", None]
    write_parallel_rows(tmp_path / "english.jsonl", rows[1:])
    assert "cross_passage" not in (tmp_path / "english.jsonl").read_text()
    notes.clear()
    assert read_parallel_rows(tmp_path / "english.jsonl", notes=notes)[0] == rows[1:]
    assert notes == []


def test_each_of_several_passages_has_its_translation(tmp_path):
    lists = {"passage": ["the moon", None, "a river"], "cross_passage": ["mwezi", "jua", ""], "passage_id": None}
    write_jsonl(
        tmp_path / "a.jsonl", [parallel(**lists), parallel(id="2", **lists | {"cross_passage": ["mwezi", "mto"]})]
    )
    rows, rejected = read_parallel_rows(tmp_path / "a.jsonl")
    assert [(row.passage, row.cross_passage) for row in rows] == [("the moon", "mwezi"), ("a river", "")]
    assert [reason for _, reason in rejected.reasons] == ["'cross_passage' has 2 passages, but the row has 3"]


def test_training_rows_keep_their_translated_passages(tmp_path):
    write_jsonl(tmp_path / "t.jsonl", [training(cross_passage="mwezi"), training(cross_passage=None), training()])
    rows = read_training_rows(tmp_path / "t.jsonl")
    assert [record.get("cross_passage") for record in rows.records] == ["mwezi", None, None]
    assert "cross_passage" not in rows.columns
    several = training(pos=["the moon", "a river"], cross_passage=["mwezi", "mto"])
    del several["positive"]
    write_jsonl(tmp_path / "t.jsonl", [several])
    records = read_training_rows(tmp_path / "t.jsonl").records
    assert [(record["positive"], record["cross_passage"]) for record in records] == [
        ("the moon", "mwezi"), ("a river", "mto"),
    ]  # fmt: skip
    write_jsonl(tmp_path / "t.jsonl", [several | {"cross_passage": "mwezi"}])
    with pytest.raises(InputError, match="line 1: 'cross_passage' has 1 passages, but the row has 2"):
        read_training_rows(tmp_path / "t.jsonl")
