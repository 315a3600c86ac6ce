"""What tuning brings: the validation score that the best of n trials is expected to have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.records import Record
from benchmark.reporting.figures.drawing import LINE, Drawing, legend_of, pages, panel_axes, wrapped
from benchmark.reporting.formatting import metric_name, show_value, show_words
from benchmark.reporting.identity import OF_A_SEARCH
from benchmark.reporting.results import Results
from benchmark.reporting.rows import grouped
from benchmark.reporting.style import COLOURS, Look, baseline_looks

CAPTION = (
    "Dots: the primary metric on validation at the end of each trial, at its number (0 is the default"
    " configuration); hollow where the trial was stopped before the last epoch. Lines: the expected best of n"
    " of these trials. One seed, chosen on validation: a line that rises is no gain on test yet."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each task with trials; a panel for each dataset, pair and condition of a search."""
    for task, own in grouped(results.trials, lambda record: record.run.task).items():
        scored = [record for record in own if _score(record) is not None]
        # Of the trials: a task whose search was stopped has no run yet.
        title = f"{own[0].about.task_title or task}: tuning"
        varying = [name for name in OF_A_SEARCH if len({_condition(each, [name]) for each in scored}) > 1]
        # None yet where the trials of a baseline alone are done.
        looks = baseline_looks(dict.fromkeys(record.run.baseline for record in scored), ()) | results.looks
        panels = grouped(scored, lambda r: (r.run.dataset, r.run.pair, *_condition(r, OF_A_SEARCH)))
        for name, some in pages(list(panels.values()), f"{task}_tuning"):
            yield Drawing(task, "tuning", name, title, CAPTION, partial(_figure, some, varying, looks))


def expected_best(scores: Sequence[float], higher_is_better: bool = True) -> list[float]:
    """The mean best of n = 1, ..., N of the scores, drawn without replacement.

    Source: Dodge et al., Show your work, EMNLP 2019, in its form without replacement (Tang et al., ACL 2020).
    """
    ordered = sorted(scores, reverse=not higher_is_better)
    total = len(ordered)
    # The k-th score is the best of n if the others are among the k - 1 before it.
    return [
        sum(math.comb(k, n - 1) * score for k, score in enumerate(ordered)) / math.comb(total, n)
        for n in range(1, total + 1)
    ]


def _figure(panels: list[list[Record]], varying: list[str], looks: Mapping[str, Look]) -> Figure:
    names = {record.run.baseline for own in panels for record in own}
    figure, axes = panel_axes([2.2 + LINE * bool(varying)] * len(panels), 1 + len(names) // 3)
    for ax, own in zip(axes, panels, strict=True):
        first = own[0]
        metric = first.metrics[first.primary_metric]
        for name, some in grouped(own, lambda record: record.run.baseline).items():
            look = looks[name]
            colour = COLOURS[look.colour]
            points = [(r.trial.number, metric.scale * (_score(r) or 0.0), r.status) for r in some if r.trial]
            for number, score, status in points:
                face = colour if status == "finished" else "none"
                ax.plot(number, score, "o", ms=3, color=colour, markerfacecolor=face, alpha=0.6)
            best = expected_best([score for _, score, _ in points], metric.direction == "max")
            ax.plot(range(1, len(best) + 1), best, **look.line, label=some[0].about.baseline_title or name)
        told = [f"{show_words(name)} {show_value(getattr(first.condition, name))}" for name in varying]
        name = f"{first.run.dataset}{' (synthetic)' * first.about.synthetic}, {first.run.pair}"
        ax.set_title("\n".join([name, *([", ".join(told)] if told else [])]), loc="left")
        ax.set_xlabel("trial; number of trials")
        ax.set_ylabel(f"{metric_name(metric, first.primary_metric, arrow=False)}, validation")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = legend_of(axes)
    figure.legend(handles.values(), map(wrapped, handles), loc="outside lower center", ncols=3)
    return figure


def _condition(record: Record, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(record.condition, name) for name in names)


def _score(record: Record) -> float | None:
    """The last validation score of a trial, where it has a finite one."""
    scores = [] if record.trial is None else [s for s in record.trial.validation if s is not None]
    return scores[-1] if scores and math.isfinite(scores[-1]) else None
