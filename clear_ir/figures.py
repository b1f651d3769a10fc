"""Figures as SVG with selectable text: bars by direction, loss curves."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

#: Okabe and Ito's palette, told apart by colour-blind readers; grey for the base.
COLOURS = ("#7f7f7f", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")

Interval = tuple[float, float, float]


def bar_chart(scores: Mapping[str, Mapping[str, Interval]], label: str = "nDCG@10 x 100") -> str:
    """Bars by direction, one for each model, with their intervals.

    Args:
        scores: By model, the base first, and direction: value, lower and upper end, between 0 and 1.
        label: Of the vertical axis.

    Returns:
        An SVG element.
    """
    directions = list(next(iter(scores.values())))
    with _figure(max(6.0, len(directions) * (0.7 + 0.4 * len(scores))), 3.6) as (figure, axes):
        width = 0.8 / len(scores)
        for i, (model, by_direction) in enumerate(scores.items()):
            values = [tuple(100 * part for part in by_direction[direction]) for direction in directions]
            means = [mean for mean, _, _ in values]
            errors = [[mean - low for mean, low, _ in values], [high - mean for mean, _, high in values]]
            places = [x + (i - (len(scores) - 1) / 2) * width for x in range(len(directions))]
            axes.bar(places, means, width * 0.92, color=COLOURS[i % len(COLOURS)], label=model)
            axes.errorbar(places, means, yerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
            for x, (mean, _, high) in zip(places, values, strict=True):
                axes.text(x, high + 1.5, f"{mean:.0f}", ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(directions)), directions)
        axes.set_ylabel(label)
        axes.set_ylim(0, 105)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=len(scores), frameon=False)
        return _svg(figure, "Bars of nDCG@10 by direction and model; the numbers stand in the tables.")


def loss_curves(train_logs: Mapping[str, list[dict[str, Any]]]) -> str:
    """The training loss of each model, and its unweighted terms where there are several.

    Args:
        train_logs: Log entries by model.

    Returns:
        An SVG element.
    """
    with _figure(7.5, 3.2) as (figure, axes):
        for i, (model, log) in enumerate(train_logs.items()):
            entries = [entry for entry in log if "loss" in entry]
            steps = [entry["step"] for entry in entries]
            axes.plot(steps, [entry["loss"] for entry in entries], color=COLOURS[(i + 1) % 8], label=model, lw=1.8)
            terms = sorted(
                {key for entry in entries for key in entry if key.startswith("clear/") and "weig" not in key}
            )
            if len(train_logs) == 1 and len(terms) > 1:
                for term, style in zip(terms, ("--", ":", "-.", (0, (1, 3))), strict=False):
                    values = [entry.get(term) for entry in entries]
                    axes.plot(steps, values, ls=style, color=COLOURS[0], lw=1.2, label=term.removeprefix("clear/"))
        axes.set_xlabel("step")
        axes.set_ylabel("training loss")
        axes.set_ylim(bottom=0)
        axes.grid(color="#dddddd", linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=5, frameon=False)
        return _svg(figure, "Training loss by step.")


class _figure:
    """A matplotlib figure that is drawn without a screen and closed again."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)

    def __enter__(self) -> tuple[Any, Any]:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        self.context = rc_context({"svg.fonttype": "none", "svg.hashsalt": "clear-ir", "font.family": "sans-serif"})
        self.context.__enter__()
        figure = Figure(figsize=self.size, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        return figure, axes

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(None, None, None)


def _svg(figure: Any, description: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
