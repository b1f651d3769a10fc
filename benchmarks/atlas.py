"""Scores on Atlas in every direction, as JSON: TF-IDF, MiniLM, and MiniLM trained by the quickstart.

make quickstart && python -m benchmarks.atlas
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from sklearn.feature_extraction.text import TfidfVectorizer

from clear_ir.data.collection import Collection
from clear_ir.data.directions import Direction
from clear_ir.data.output_files import write_json
from clear_ir.encode.model_loading import MINILM, load_encoder
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.measures import score_run
from clear_ir.evaluate.results import DirectionResult
from clear_ir.prepare.atlas import load_split

OUT = Path(__file__).parent / "results" / "atlas.json"
MODEL = Path("quickstart/model")


def tfidf(collection: Collection, direction: Direction) -> float:
    judged = collection.judged_queries(direction)
    pool = collection.pool(direction)
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit([p.full_text for p in pool])
    queries = vectorizer.transform([collection.queries[query].text for query in judged])
    scores = (queries @ vectorizer.transform([p.full_text for p in pool]).T).toarray()
    run = {
        query: {p.id: float(score) for p, score in zip(pool, row, strict=True)}
        for query, row in zip(judged, scores, strict=True)
    }
    return DirectionResult(score_run(run, judged), len(pool)).mean("nDCG@10")


def main() -> None:
    collection = load_split("test")
    scores = {"TF-IDF": {"q-en.p-en": round(tfidf(collection, Direction("en", "en")), 6)}}
    for name, model in (("MiniLM", MINILM), ("MiniLM + CLEAR", str(MODEL))):
        results = evaluate_directions(TextEncoder(load_encoder(model)), collection)
        scores[name] = {direction: round(result.mean("nDCG@10"), 6) for direction, result in results.items()}
    write_json(OUT, {"scores": scores})
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
