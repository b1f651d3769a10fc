"""A small collection of questions, and how a model ranks its passages, computed in float64 on its own."""

import json

import numpy as np
from sentence_transformers import SentenceTransformer

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection

WORDS = "river desert moon bread bank court drum tree bird metal".split()
#: Characters that steer a terminal or turn the reading direction.
NASTY = "\x1b[2J\x9b31m\u202eevil\x07\u2028line"
#: What a page must show as text.
MARKUP = "<img src='http://127.0.0.1:9/x.png' onerror='alert(1)'><script>alert(2)</script>${3+4} {{5*6}} & \"moon\""


def write_questions(folder):
    """Ten questions in English and Swahili; passages in English, a few in Swahili, two of them nasty."""
    passages = [Text(f"p{i}", f"the {word} is wide\nsecond line", "en") for i, word in enumerate(WORDS)]
    passages += [Text(f"s{i}", f"{word} ni ya mto", "sw") for i, word in enumerate(WORDS[:4])]
    passages.append(Text("nasty", f"{NASTY} moon river", "en"))
    questions = [(f"q{i}", f"p{i}", {"en": f"what {word}", "sw": f"mto {word}"}) for i, word in enumerate(WORDS)]
    write_collection(folder, make_collection("tiny", passages, questions))
    return folder


def ranking_by_hand(model_folder, data, question, langs):
    """Ids and scores, best first, in float64 from sentence-transformers' own vectors."""
    passages = [json.loads(line) for line in (data / "corpus.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    passages = [p for p in passages if p["lang"] in langs]
    model = SentenceTransformer(str(model_folder), device="cpu")
    vectors = model.encode([f"{p.get('title', '')} {p['text']}".strip() for p in passages]).astype(float)
    query = model.encode([question])[0].astype(float)
    scores = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")
    return [passages[i]["_id"] for i in order], scores[order]
