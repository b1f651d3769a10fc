"""How far the study's models get above the paper's baseline in low-resource languages, and how far they might."""

from __future__ import annotations

from cells import MATRIX
from report import LENGTHS, Found

from clear_ir.resampling import interval
from clear_ir.tables import Table

#: The relative gain over infonce that a low-resource language was to reach.
TARGET = 0.15


def gain_table() -> str:
    """How far each low-resource language can get from the paper's baseline: relative gains and their intervals."""
    rows, tried = [], 0
    for data in [name for name, plan in MATRIX["data"].items() if plan["dataset"] == "afriqa"]:
        found = Found(data)
        for length in LENGTHS:
            before = f"infonce{length}"
            others = [name for name in found.by_name if name not in ("base", before) and _length(name) == length]
            if before not in found.by_name or not others:
                continue
            gains = {name: _relative_gains(found, name, before) for name in others}
            defaults = found.variants(MATRIX["default"] + length)
            for direction, column in found.crossing.items():
                in_this = {name: gains[name][direction] for name in others}
                largest = max(in_this, key=lambda name: in_this[name][0])
                reach = sum(high >= TARGET for _, _, high in in_this.values())
                tried += len(in_this)
                shown = ["; ".join(_percent(in_this[name]) for name in defaults), largest, _percent(in_this[largest])]
                score = f"{100 * found.mean(before, column):.1f}"
                rows.append([data + length, direction, score, *shown, f"{reach}"])
    if not rows:
        return "Not run yet."
    head = ["data", "direction", "infonce", "default", "largest", "its gain", "reach 15 %"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        f"Relative gains in nDCG@10 over infonce with 95 % bootstrap intervals over questions. The largest is picked "
        f"on test, which flatters it. The last column counts the models, of {tried} in all rows together, whose "
        f"interval holds {100 * TARGET:.0f} % or more; intervals are not corrected for their number."
    )


def _length(name: str) -> str:
    return next((length for length in LENGTHS if length and length in name), "")


def _relative_gains(found: Found, name: str, before: str) -> dict[str, tuple[float, float, float]]:
    """By direction, the gain over infonce, trained as long, as a share of its score, with the ends of its interval."""
    drawn_before, drawn_after = (found.by_name[of].bootstrap() for of in (before, name))
    gains = {}
    for direction, (column,) in found.crossing.items():
        some = drawn_before[:, column] > 0
        ends = interval(drawn_after[some, column] / drawn_before[some, column] - 1)
        gains[direction] = (found.mean(name, [column]) / found.mean(before, [column]) - 1, *ends)
    return gains


def _percent(gain: tuple[float, float, float]) -> str:
    value, low, high = gain
    return f"{100 * value:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f})"
