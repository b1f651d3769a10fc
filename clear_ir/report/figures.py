"""Figures as SVG with selectable text: bars by direction, loss curves, a map of parallel texts."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from math import nan
from textwrap import fill
from typing import Any

from clear_ir.data.languages import english_name, name_directions
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.loss.terms import TERMS
from clear_ir.train.verdict import checkpoint_scores, describe_kept

MARKERS = "osD^vP*X"
#: Okabe and Ito's palette, which colour-blind readers can tell apart; the first is the base's.
COLOURS = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000")
#: Inches, as wide as the page of results.
PAGE_WIDTH = 10.0

#: The spaces at which names of directions and summaries are broken.
_LINES = re.compile(" (?=[→+])|(?<=^mean) |(?<=^worst) ")

#: Letters of a model's name that a figure has room for.
MOST_LETTERS = 60

Interval = tuple[float, float, float]


def bar_chart(scores: Mapping[str, Mapping[str, Interval]], label: str = "nDCG@10 x 100") -> str:
    """Bars by direction, one for each model, with intervals.

    Args:
        scores: By model, the base first, and direction: value, lower and upper end, between 0 and 1.
        label: Of the vertical axis.

    Returns:
        An SVG element.
    """
    directions = list(next(iter(scores.values())))
    with _figure(min(PAGE_WIDTH, max(6.0, len(directions) * (0.7 + 0.4 * len(scores)))), 3.6) as (figure, axes):
        width = 0.8 / len(scores)
        for i, (model, by_direction) in enumerate(scores.items()):
            values = [tuple(100 * part for part in by_direction[direction]) for direction in directions]
            means = [mean for mean, _, _ in values]
            # A percentile of equal scores may lie beyond their mean by the last digit of a float.
            errors = [
                [max(0, mean - low) for mean, low, _ in values],
                [max(0, high - mean) for mean, _, high in values],
            ]
            xs = [x + (i - (len(scores) - 1) / 2) * width for x in range(len(directions))]
            axes.bar(xs, means, width * 0.92, color=COLOURS[i % len(COLOURS)], label=_label(model))
            axes.errorbar(xs, means, yerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
            for x, (mean, _, high) in zip(xs, values, strict=True):
                axes.text(x, high + 1.5, f"{mean:.0f}", ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(directions)), [_LINES.sub("\n", name) for name in directions])
        axes.tick_params(axis="x", labelsize=10 if len(directions) <= 8 else 8)
        axes.set_ylabel(label)
        axes.set_ylim(0, 105)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        _add_legend(figure, axes)
        return _svg(figure, f"Bars of {label} by direction and model; the numbers stand in the tables.")


def training_curves(train_logs: Mapping[str, list[dict[str, Any]]]) -> str:
    """The training loss of each model and, if there were dev questions, its scores on them with the step that was kept.

    Of a single model also the terms of its loss, without their weights, and the scores of each direction.

    Args:
        train_logs: Log entries by model.

    Returns:
        An SVG element.
    """
    alone = len(train_logs) == 1
    curves = {model: dev_curves(log) for model, log in train_logs.items()}
    panels = 2 if any(curves.values()) else 1
    columns = 3 if alone else 1  # names of terms and directions are short, those of models may be long
    with _figure(PAGE_WIDTH if panels == 2 else 7.5, 3.8, panels) as (figure, _):
        for i, (model, log) in enumerate(train_logs.items()):
            colour = COLOURS[-1] if alone else COLOURS[(i + 1) % len(COLOURS)]
            losses, *dev = figure.axes
            _draw_losses(losses, log, colour, model, alone)
            if curves[model]:
                _draw_dev(dev[0], curves[model], log[0]["dev"], colour, model, alone)
        figure.get_layout_engine().set(wspace=0.08)
        for panel, label in zip(figure.axes, ("training loss", f"dev questions, {MAIN_MEASURE} x 100"), strict=False):
            panel.set_xlabel("step")
            panel.set_ylabel(label)
            panel.grid(color="#dddddd", linewidth=0.6)
            panel.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=columns)
        figure.axes[0].set_ylim(bottom=0)
        return _svg(figure, "Training loss and scores on the dev questions by step.")


def dev_curves(log: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """The scores on the dev questions while a model was trained.

    Args:
        log: The training log.

    Returns:
        By direction, and for their `mean` across languages, nDCG@10 by step; the base at step 0. Empty without dev
        questions.
    """
    base = (log[0].get("dev") or {}).get("base") if log else None
    if not base:
        return {}
    scores = {0: base} | {entry["step"]: scores for entry in log[1:] if (scores := checkpoint_scores(entry))}
    return {name: {step: of_step[name] for step, of_step in scores.items() if name in of_step} for name in base}


def _draw_losses(axes: Any, log: Sequence[Mapping[str, Any]], colour: str, model: str, alone: bool) -> None:
    entries = [entry for entry in log if "loss" in entry]
    steps = [entry["step"] for entry in entries]
    name = "all terms" if alone else _label(model)
    axes.plot(steps, [entry["loss"] for entry in entries], color=colour, label=name, lw=1.8)
    terms = [term for term in TERMS.values() if any(f"clear/{term.name}" in entry for entry in entries)]
    if alone and len(terms) > 1:
        for term in terms:
            values = [entry.get(f"clear/{term.name}", nan) for entry in entries]
            axes.plot(steps, values, ls="--", color=term.colour, lw=1.2, label=term.name)


def _draw_dev(
    axes: Any,
    curves: Mapping[str, Mapping[int, float]],
    verdict: Mapping[str, Any],
    colour: str,
    model: str,
    alone: bool,
) -> None:
    if alone and len(curves) <= len(COLOURS):
        directions = [name for name in curves if name != "mean"]
        for name, line in zip(directions, COLOURS, strict=False):
            scores = [100 * score for score in curves[name].values()]
            axes.plot([*curves[name]], scores, color=line, lw=1.2, label=name_directions(name))
    mean = curves["mean"]
    axes.plot([*mean], [100 * y for y in mean.values()], color=colour, lw=1.8, label="mean" if alone else _label(model))
    kept = verdict["kept_step"]
    if kept in mean:
        score = verdict["kept"]["mean"] if "share" in verdict else mean[kept]
        label = f"kept: {describe_kept(verdict)}" if alone else None
        axes.plot([kept], [100 * score], "D", color=colour, ms=8, label=label)


def text_maps(maps: Mapping[str, Mapping[str, Any]]) -> str:
    """Parallel texts on a plane, one panel for each model, a line from each text to its English translation.

    Args:
        maps: By model, as `clear_ir.evaluate.space.map_texts` gives them; not empty.

    Returns:
        An SVG element.
    """
    with _figure(4.2 * len(maps), 4.6, len(maps)) as (figure, panels):
        for axes, (model, plane) in zip([panels] if len(maps) == 1 else panels, maps.items(), strict=True):
            points: dict[str, dict[str, tuple[float, float]]] = {}
            for point in plane["points"]:
                points.setdefault(point["lang"], {})[point["text"]] = (point["x"], point["y"])
            for i, (lang, by_text) in enumerate(sorted(points.items(), key=lambda item: (item[0] != "en", item[0]))):
                colour = COLOURS[-1] if lang == "en" else COLOURS[i % 7]
                # NaN ends a line, so that one call draws the lines of all pairs.
                pairs = [(point, points["en"][text], (nan, nan)) for text, point in by_text.items()]
                axes.plot(*zip(*chain(*pairs), strict=True), color=colour, lw=0.4, alpha=0.35, zorder=1)
                xs, ys = zip(*by_text.values(), strict=True)
                marker = MARKERS[i % len(MARKERS)]
                axes.scatter(
                    xs, ys, s=14, color=colour, marker=marker, label=english_name(lang), linewidths=0.8, zorder=2
                )
            axes.set_title(fill(_label(model), 36), fontsize=10)
            axes.set_xlabel(f"first component, {100 * plane['explained'][0]:.0f} % of the variance", fontsize=8)
            axes.set_ylabel(f"second, {100 * plane['explained'][1]:.0f} %", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_aspect("equal", adjustable="datalim")
        _add_legend(figure, axes)
        return _svg(figure, "Parallel queries as points on a plane; translations of one question are joined by lines.")


def frontier(points: Sequence[tuple[float, float, float]], chosen: float) -> str:
    """English against the mean across languages, a point for each weight of a merge.

    Args:
        points: Weight, nDCG@10 of q-en.p-en and mean across languages, between 0 and 1.
        chosen: The weight to mark.

    Returns:
        An SVG element.
    """
    with _figure(5.2, 4.2) as (figure, axes):
        weights, english, cross = zip(*points, strict=True)
        xs, ys = ([100 * value for value in values] for values in (english, cross))
        axes.plot(xs, ys, color=COLOURS[0], marker="o", ms=4, lw=1.2)
        for weight, x, y in zip(weights, xs, ys, strict=True):
            marked = weight == chosen
            if marked:
                axes.plot([x], [y], "D", color=COLOURS[1], ms=9, label=f"chosen: {weight:g}")
            offset = (7, -3)
            axes.annotate(f"{weight:g}", (x, y), offset, textcoords="offset points", fontsize=8)
        axes.set_xlabel("q-en.p-en, nDCG@10 x 100")
        axes.set_ylabel("mean across languages, nDCG@10 x 100")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(frameon=False)
        return _svg(
            figure, "English against the mean across languages, one point a weight; merge.json has the numbers."
        )


def frontiers(curves: Mapping[str, tuple[Sequence[tuple[float, float, float]], float]]) -> str:
    """Several curves as in `frontier`, each with its chosen weight.

    The base is far below them across languages, so of it only the English score is drawn, as a vertical line.

    Args:
        curves: By name, points as for `frontier` and the weight to mark.

    Returns:
        An SVG element.
    """
    with _figure(9.6, 5.0) as (figure, axes):
        for base_english in {english for points, _ in curves.values() for weight, english, _ in points if weight == 0}:
            axes.axvline(100 * base_english, color="#888888", lw=1, ls=":", label="English of the base")
        for number, (name, (points, chosen)) in enumerate(curves.items()):
            points = [point for point in points if point[0] > 0]
            _, english, cross = zip(*points, strict=True)
            colour = COLOURS[number % len(COLOURS)]
            style = ("-", "--", ":")[number // len(COLOURS) % 3]
            xs, ys = ([100 * value for value in values] for values in (english, cross))
            axes.plot(xs, ys, color=colour, ls=style, marker="o", ms=3, lw=1.2, label=name)
            for weight, x, y in points:
                if weight == chosen:
                    axes.plot([100 * x], [100 * y], "D", color=colour, ms=8)
        axes.set_xlabel("q-en.p-en, nDCG@10 x 100")
        axes.set_ylabel("mean across languages, nDCG@10 x 100")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        return _svg(figure, "English against the mean across languages; a diamond marks the chosen merging weight.")


def scatter(points: Mapping[str, tuple[float, float]], x_label: str, y_label: str) -> str:
    """Points on a plane, each with its name in the legend.

    Args:
        points: Horizontal and vertical value by name.
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.

    Returns:
        An SVG element.
    """
    with _figure(9.6, 4.6) as (figure, axes):
        for number, (name, (x, y)) in enumerate(points.items()):
            colour = COLOURS[number % len(COLOURS)]
            marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
            axes.plot([x], [y], marker, color=colour, ms=7, label=name, clip_on=False)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_xlim(left=0)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        return _svg(figure, f"{y_label} against {x_label}, a point for each name; the table has the numbers.")


class _figure:
    """A matplotlib figure that is drawn without a screen and closed again."""

    def __init__(self, width: float, height: float, panels: int = 1) -> None:
        self.size = (width, height)
        self.panels = panels

    def __enter__(self) -> tuple[Any, Any]:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        # Text stays text, also where it has a dollar sign. The same input gives the same file.
        self.context = rc_context(
            {
                "svg.fonttype": "none",
                "text.parse_math": False,
                "svg.hashsalt": "clear-ir",
                "font.family": "sans-serif",
            }
        )
        self.context.__enter__()
        figure = Figure(figsize=self.size, layout="constrained")
        axes = figure.subplots(1, self.panels)
        for panel in figure.axes:
            panel.spines[["top", "right"]].set_visible(False)
        return figure, axes

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(None, None, None)


def _label(model: str) -> str:
    """The name of a model in a legend, which leaves out what begins with an underscore."""
    short = model if len(model) <= MOST_LETTERS else f"{model[: MOST_LETTERS - 1]}…"
    return f" {short}" if short.startswith("_") else short


def _add_legend(figure: Any, axes: Any) -> None:
    """A legend above the panels that is not wider than the figure: as many rows as the names in one panel need."""
    handles, labels = axes.get_legend_handles_labels()
    column = 0.09 * max(map(len, labels), default=0) + 0.7  # inches: letters, and a mark with its margins
    columns = max(1, int(figure.get_figwidth() / column))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, markerscale=1.6, fontsize=9)


def _svg(figure: Any, description: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
