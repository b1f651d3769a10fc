"""Belebele (Bandarkar et al. 2024, arXiv 2308.16884): 900 questions on 488 passages, parallel in 122 languages.

Reads `<code>.jsonl` of facebookresearch/belebele. The codes are those of FLORES-200, such as `hau_Latn`. `link` and
`question_number` identify a question. For testing only.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from clear_ir.data.collection import Collection, Qrels, Text, parallel_text
from clear_ir.data.files import InputError, hash_of, read_jsonl
from clear_ir.prepare.languages import choose_langs, collection_name, with_english
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register
from clear_ir.prepare.release import find_files
from clear_ir.prepare.shared_options import Langs
from clear_ir.prepare.source import hub_records, is_local

FILE = re.compile(r"([a-z]{3}_[A-Z][a-z]{3})\.jsonl")
#: The languages of Belebele on the hub.
ON_THE_HUB = """
    acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng azj_Latn
    bam_Latn ben_Beng ben_Latn bod_Tibt bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek
    eng_Latn est_Latn eus_Latn fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr
    hin_Deva hin_Latn hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan
    kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn
    lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn
    npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn
    rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl
    ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tsn_Latn tso_Latn
    tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn yor_Latn zho_Hans zho_Hant
    zsm_Latn zul_Latn
"""
FIELDS = ("link", "question_number", "flores_passage", "question")

#: What identifies a question: its link and its number.
Key = tuple[str, str]


def load_belebele(
    data: Annotated[str | Path, Field(description="Folder with eng_Latn.jsonl and others, or facebook/belebele.")],
    langs: Langs,
) -> Prepared:
    """Load Belebele as retrieval: a question searches all passages of a language.

    Returns:
        No rows; a collection with questions and passages in all languages.

    Raises:
        InputError: If a language or a field is missing, or the hub cannot be reached.
    """
    files: dict[str, Path] = {}
    if is_local(data):
        files = {match[1]: path for match, path in find_files(data, FILE, "Belebele", "eng_Latn.jsonl").items()}
    chosen = choose_langs(with_english(langs), files or ON_THE_HUB.split(), f"Belebele in {data} has no language")
    records = {lang: _records(data, files.get(code), code) for lang, code in chosen.items()}
    langs = list(chosen)
    counts = {lang: Counter(key for key, _ in keyed) for lang, keyed in records.items()}
    shared = [key for key, _ in records["en"] if all(counts[lang][key] == 1 for lang in langs)]
    if not shared:
        raise InputError(f"No question of {data} is in all of {', '.join(langs)}; check the files.", "data", "langs")

    passages: dict[str, Text] = {}
    queries: dict[str, Text] = {}
    qrels: Qrels = {}
    record_of = {lang: dict(keyed) for lang, keyed in records.items()}
    for key in shared:
        passage_id = hash_of(record_of["en"][key]["flores_passage"])[:12]
        question_id = hash_of(*key)[:12]
        for lang in langs:
            record = record_of[lang][key]
            passage = parallel_text(passage_id, lang, record["flores_passage"])
            query = parallel_text(question_id, lang, record["question"])
            passages.setdefault(passage.id, passage)
            queries[query.id] = query
            qrels[query.id] = {f"{passage_id}@{other}": 1 for other in langs}
    notes = []
    if dropped := len(set().union(*counts.values())) - len(shared):
        notes.append(f"{dropped} questions left out: not there exactly once in every language.")
    return Prepared(collection=Collection(collection_name("belebele", langs), passages, queries, qrels), notes=notes)


def _records(data: Path | str, file: Path | None, code: str) -> list[tuple[Key, dict[str, Any]]]:
    if file:
        records = list(read_jsonl(file))
    else:
        records = [(f"{data} ({code}), record {i}", r) for i, r in enumerate(hub_records(str(data), code, "test"), 1)]
    for where, record in records:
        for name in FIELDS:
            if not str(record.get(name) or "").strip():
                raise InputError(f"{where}: {name!r} is missing or empty; this is no record of Belebele.", "data")
    return [((str(record["link"]), str(record["question_number"])), record) for _, record in records]


register(
    DataSet(
        name="belebele",
        title="Belebele",
        what="900 questions and 488 passages, parallel in 122 languages",
        rows=False,
        directions="all k x k",
        source="github.com/facebookresearch/belebele",
        licence="CC BY-SA 4.0",
        example="--data facebook/belebele --langs ha,sw --out belebele",
        load=load_belebele,
    )
)
