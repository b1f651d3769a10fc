"""The report: one self-contained HTML file, and its tables in Markdown and CSV."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from clear_ir.compare.comparison import Difference, compare_models
from clear_ir.data.collection import Collection
from clear_ir.data.languages import UNKNOWN, describe_direction, english_name
from clear_ir.data.output_files import new_folder, write_json, write_text
from clear_ir.data.rows import ParallelRow
from clear_ir.evaluate.results import Results
from clear_ir.report.json_documents import comparison_document
from clear_ir.report.overview import examples, headline, tiles
from clear_ir.report.reported import Reported, TrainLog
from clear_ir.report.sections import SECTIONS, Section, change_map, score_map

TEMPLATES = Path(__file__).resolve().parent / "templates"
#: The file that marks a report folder.
REPORT_FILE = "report.html"
#: The folder in it with a CSV file for each table.
TABLES_FOLDER = "tables"


def render_report(
    folder: Path,
    base: Results,
    others: Sequence[Results],
    train_logs: dict[str, TrainLog] | None = None,
    overwrite: bool = False,
    collection: Collection | None = None,
    translations: Sequence[ParallelRow] = (),
) -> list[Difference]:
    """Write `report.html`, `report.md`, `comparison.json`, and each table as CSV.

    Args:
        folder: Where; refused if it holds anything but an earlier report.
        base: The reference.
        others: The models compared with it.
        train_logs: Training logs by model, for the curves.
        overwrite: Replace an earlier report.
        collection: What was evaluated, for the texts of the queries that changed most; None leaves them out.
        translations: Rows whose queries were translated, to show some of them beside their English queries.

    Returns:
        The differences by direction.

    Raises:
        InputError: If two models share a name, the data differ, or the folder is taken.
    """
    reported = Reported(compare_models(base, others), train_logs or {}, collection, translations)
    sections = [section for make_sections in SECTIONS for section in make_sections(reported)]
    sentences = [*headline(reported), *base.few_questions]
    with new_folder(folder, REPORT_FILE, overwrite) as partial:
        write_text(partial / REPORT_FILE, _page(reported, sentences, sections))
        parts = [f"# {base.data}, {base.split}\n", *(f"{sentence}\n" for sentence in sentences)]
        for section in sections:
            if section.table:
                parts.append(f"## {section.title}\n\n{section.note}\n\n{section.table.named.markdown()}")
                write_text(partial / TABLES_FOLDER / f"{section.name}.csv", section.table.csv())
        write_text(partial / "report.md", "\n".join(parts))
        write_json(partial / "comparison.json", comparison_document(reported.comparison))
    return reported.comparison.directions


def _page(reported: Reported, sentences: Sequence[str], sections: Sequence[Section]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"language": english_name, "described": describe_direction, "quoted": quote}
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    best = reported.best
    map_on_top = change_map(reported, best.model) if reported.comparison.others else score_map(best)
    return environment.get_template("report.html").render(
        reported=reported,
        headline=sentences,
        tiles=tiles(reported),
        heatmap=map_on_top if len(best.directions) > 1 else None,
        examples=examples(reported),
        sections=sections,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        # The page runs this script alone, whatever texts it shows.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        unknown=UNKNOWN,
    )
