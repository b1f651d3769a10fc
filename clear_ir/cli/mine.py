"""`clear-ir mine`: hard negatives for both sides of each row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.next_command import after_mine
from clear_ir.cli.output import join_first, print_json, print_result, print_summary
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Map, ModelOrRecipe, Overwrite, Recipe, Remote, model_name, parse_mapping
from clear_ir.encode.settings import EncodingSettings
from clear_ir.mine.settings import MiningSettings


@takes(mine=MiningSettings, encode=EncodingSettings)
def mine(
    rows: Annotated[Path, typer.Option(help="File of parallel rows, as clear-ir prepare writes it.")],
    out: Annotated[Path, typer.Option(help="File of training rows to make.")],
    flags: Flags,
    model: ModelOrRecipe = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="More English passages to take negatives from: a file with a passage a line, or a collection."
        ),
    ] = None,
    recipe: Recipe = None,
    mapping: Map = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Mine hard negatives: passages and queries for each parallel row."""
    from clear_ir.data.corpus import read_corpus
    from clear_ir.data.origins import beside, hold_with_origin, is_stream, origin_of
    from clear_ir.data.output_files import write_json, write_jsonl
    from clear_ir.data.rows import read_parallel_rows
    from clear_ir.encode.cross_encoder import PairScorer, load_cross_encoder
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.mine.hard_negatives import mine_hard_negatives
    from clear_ir.recipes.recipe import load_recipe

    chosen = load_recipe(recipe, flags)
    notes: list[str] = []
    origin = beside(out, "mining.json")
    with hold_with_origin(out, origin, overwrite=overwrite):
        parallel, rejected = read_parallel_rows(rows, parse_mapping(mapping), notes=notes)
        rejected.raise_first()
        name = model_name(model, chosen.model)
        encoder = TextEncoder.from_settings(load_encoder(name, trust_remote_code), chosen.encode)
        passages = read_corpus(corpus) if corpus else None
        scorer = None
        if chosen.mine.rescore:
            cross_encoder = load_cross_encoder(chosen.mine.rescore, trust_remote_code)
            scorer = PairScorer(cross_encoder, chosen.encode.batch_size or 32, encoder.precision)
        mined = mine_hard_negatives(encoder, parallel, chosen.mine, passages, scorer)
        if not is_stream(out):
            how = {"model": name, "weights": encoder.weights_hash, "settings": chosen.mine.model_dump(mode="json")}
            write_json(origin, origin_of("clear-ir mine", how | mined.document()))
        write_jsonl(out, mined.records)
    if as_json:
        print_json(mined.document() | {"out": str(out)})
        return
    for note in (*notes, *mined.notes):
        typer.echo(note)
    if corpus and mined.corpus:
        typer.echo(mined.corpus.sentence(corpus.name))
    print_summary(mined.summary())
    if mined.left_out:
        typer.echo(f"Rows left out because they have too few candidates: {join_first(mined.left_out)}")
    used = {"model": model, "recipe": recipe, "trust_remote_code": trust_remote_code}
    print_result(f"{len(mined.records)} training rows: {out}", after_mine(out, used))
