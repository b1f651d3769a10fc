"""How far the study's models get above the paper's baseline in low-resource languages, and how far they might."""

from __future__ import annotations

from cells import MATRIX
from report import LENGTHS, Found, found_on

from clear_ir.compare.resampling import interval
from clear_ir.report.tables import Table

#: The relative gain over infonce that a low-resource language was to reach.
TARGET = 0.15


def gain_table() -> str:
    """How far each low-resource language can get from the paper's baseline: relative gains and their intervals."""
    rows, tried = [], 0
    for data in [name for name, plan in MATRIX["data"].items() if plan["dataset"] == "afriqa"]:
        found = found_on(data)
        of_default = [name for length in LENGTHS for name in found.variants(MATRIX["default"] + length)]
        for label, before, others in _groups(found):
            gains = {name: _relative_gains(found, name, before) for name in others}
            defaults = [name for name in of_default if name in others]
            for direction, column in found.crossing.items():
                in_this = {name: gains[name][direction] for name in others}
                largest = max(in_this, key=lambda name: in_this[name][0])
                reach = sum(high >= TARGET for _, _, high in in_this.values())
                tried += len(in_this)
                shown = ["; ".join(_percent(in_this[name]) for name in defaults), largest, _percent(in_this[largest])]
                score = f"{100 * found.mean(before, column):.1f}"
                rows.append([data + label, direction, score, *shown, f"{reach}"])
    if not rows:
        return "Not run yet."
    head = ["data", "direction", "infonce", "default", "largest", "its gain", "reach 15 %"]
    return (
        f"{Table(head, rows, num_names=2).markdown()}\n"
        f"Relative gains in nDCG@10 over infonce with 95 % bootstrap intervals over questions. The largest is picked "
        f"on test, which flatters it. The last column counts the models, of {tried} in all rows together, whose "
        f"interval holds {100 * TARGET:.0f} % or more; intervals are not corrected for their number. Distillation's "
        f"{MATRIX['distil_steps']} steps come on top of the planned ones, so distilled models are held against infonce "
        "after three times as many steps, too."
    )


def _groups(found: Found) -> list[tuple[str, str, list[str]]]:
    """Which models are held against which infonce: those trained as long, and distilled ones against a longer one."""
    groups = []
    for length in LENGTHS:
        models = [name for name in found.by_name if _length(name) == length]
        others = [name for name in models if name not in ("base", f"infonce{length}")]
        groups.append((length, f"infonce{length}", others))
    distilled = [name for name in groups[0][2] if "distil" in name and ", then" in name]
    groups.append((f", distilled; infonce{LENGTHS[-1]}", f"infonce{LENGTHS[-1]}", distilled))
    return [group for group in groups if group[1] in found.by_name and group[2]]


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
