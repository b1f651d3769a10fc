import torch
from tiny import WORDS

from clear_ir.loss.packing import WIDTH_MULTIPLE, Group, pack_columns, text_keys


def features(encoder, texts, **more):
    return encoder.preprocess(texts) | more


def test_keys_are_equal_for_equal_texts_only(encoder):
    short = text_keys(features(encoder, ["river desert", "moon", "river desert"]))
    padded = text_keys(features(encoder, ["river desert", "moon bread bank court drum tree"]))
    assert short[0] == short[2] == padded[0]
    assert len({int(key) for key in [*short, *padded]}) == 3


def test_keys_do_not_collide_on_permuted_or_shifted_words(encoder):
    texts = [" ".join((WORDS[i], WORDS[j], WORDS[k])) for i in range(12) for j in range(12) for k in range(12)]
    keys = text_keys(features(encoder, texts))
    assert len(set(keys.tolist())) == len(set(texts))


def test_keys_of_left_padded_and_flattened_inputs(encoder):
    right = features(encoder, ["river", "moon bread bank"])
    ids, mask = right["input_ids"], right["attention_mask"]
    left = {"input_ids": ids.clone(), "attention_mask": mask.clone()}
    n = int(mask[0].sum())
    left["input_ids"][0] = torch.cat([ids[0, n:], ids[0, :n]])
    left["attention_mask"][0] = mask[0].flip(0)
    flat = {
        "input_ids": torch.cat([ids[0, :n], ids[1]]).unsqueeze(0),
        "cu_seq_lens_q": torch.tensor([0, n, n + ids.shape[1]]),
    }
    assert text_keys(right).tolist() == text_keys(left).tolist() == text_keys(flat).tolist()
    assert text_keys({"pixel_values": torch.zeros(2, 3)}) is None


def test_packed_rows_give_back_each_column(encoder):
    texts = [["river desert moon", "tree"], ["tree", "bird bread bank court"], ["river desert moon", "moon"]]
    columns = {i: features(encoder, column) for i, column in enumerate(texts)}
    keys = {i: text_keys(column) for i, column in columns.items()}
    packed = pack_columns(columns, keys)
    assert [group.merged for group in packed.groups] == [True]
    group = packed.groups[0].features
    lengths = group["attention_mask"].sum(dim=1).tolist()
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) == 4, "six texts, four distinct"
    for i, column in columns.items():
        place, rows = packed.places[i]
        assert place == 0
        kept = column["attention_mask"].bool()
        for row, (ids, mask) in enumerate(zip(column["input_ids"], kept, strict=True)):
            found = group["input_ids"][rows[row]][group["attention_mask"][rows[row]].bool()]
            assert found.tolist() == ids[mask].tolist()
    whole = pack_columns(columns, keys, deduplicate=False)
    assert len(whole.groups[0]) == 6


def test_mini_batches_hold_every_row_and_few_shapes():
    lengths = sorted(torch.randint(1, 61, (200,), generator=torch.Generator().manual_seed(0)).tolist(), reverse=True)
    mask = (torch.arange(60) < torch.tensor(lengths)[:, None]).long()
    columns = {"input_ids": mask * torch.arange(1, 201)[:, None], "attention_mask": mask, "task": "query"}
    group = Group(columns, "right")
    parts = group.mini_batches(1, 128)
    assert [int(row[0]) for part in parts for row in part["input_ids"]] == list(range(1, 201))
    assert sum(int(part["attention_mask"].sum()) for part in parts) == sum(lengths), "no token is cut off"
    assert all(part["input_ids"].numel() <= 128 and part["task"] == "query" for part in parts)
    shapes = {tuple(part["input_ids"].shape) for part in parts}
    # One for each width, and the last, which is not full. Wider than the tokenizer's 60 is none.
    assert {width % WIDTH_MULTIPLE for _, width in shapes} <= {0, 60 % WIDTH_MULTIPLE}
    assert len(shapes) <= 60 // WIDTH_MULTIPLE + 2 < len(parts)
    assert [len(part["input_ids"]) for part in group.mini_batches(64, None)] == [64, 64, 64, 8]
    assert all(len(part["input_ids"]) == 1 for part in group.mini_batches(1, 10)), "a longer text goes alone"


def test_columns_that_differ_in_kind_stay_apart(encoder):
    plain = features(encoder, ["river", "moon"])
    prompted = features(encoder, ["river", "moon"], prompt_length=2)
    left = features(encoder, ["river", "moon bread bank"])
    left["attention_mask"][0] = left["attention_mask"][0].roll(1)  # padding on both sides
    columns = {0: plain, 1: prompted, 2: left, 3: dict(plain)}
    packed = pack_columns(columns, {i: text_keys(column) for i, column in columns.items()})
    assert packed.places[0][0] == packed.places[3][0]
    assert len(packed.groups) == 3
    assert packed.groups[packed.places[2][0]].features is left
