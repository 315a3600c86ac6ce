"""The sentences below a table: what its numbers, intervals, verdicts and marks mean, and what to mind."""

import math
from collections.abc import Iterable

from benchmark.records import Record
from benchmark.reporting.comparisons import BEST_MARK, TIED_MARK
from benchmark.reporting.formatting import show_value, show_words
from benchmark.reporting.frame import condition_columns
from benchmark.reporting.rows import LOST, PairBlock, ResultRow, varying_conditions
from benchmark.reporting.statistics.spread import INTERVAL_FROM

WHOLE_COST = (
    "Whole cost: the seconds that whoever wants this one student pays: its training with first stages and"
    " shares of common passes, all of its teacher's training (nothing without a teacher, or for one from a"
    " checkpoint) and, where it was tuned, all trials of the baseline."
)


def common_conditions(records: list[Record]) -> str:
    """The condition that all records share, in words: `epochs 10, train samples 5000`."""
    varying = varying_conditions(records)
    return ", ".join(
        f"{show_words(name)} {show_value(value)}"
        for name, value in condition_columns(records[0].condition).items()
        if name not in varying and value is not None and value != ""
    )


def anchor_title(rows: Iterable[ResultRow]) -> str:
    """The title of the anchor among the rows; where there are several or none, what it is."""
    titles = {row.title for row in rows if row.is_anchor}
    return titles.pop() if len(titles) == 1 else "anchor"


def caption(blocks: list[PairBlock], records: list[Record]) -> list[str]:
    """Of a task's table: one sentence an item; the first says what is shown."""
    rows = [row for block in blocks for row in block.rows]
    sentences = [
        "Results on the test split: mean ± sample standard deviation over n seeds.",
        "For the teacher, n counts distinct teachers; a single run has no ±.",
    ]
    if any(row.is_anchor for row in rows):
        sentences.append(
            f"Differences to {anchor_title(rows)}, under the same condition and with as many updates: the"
            " 95 % intervals of methods hold for all methods of a condition at once (Dunnett's test, with"
            " moderated variances where these disagree); controls and references are compared one by one."
        )
    sentences += caption_of_verdicts(rows)
    sentences += caption_of_marks(blocks)
    sentences.append(conditional_on(rows))
    sentences += caption_of_lost(blocks)
    sentences += _handed_over(records)
    if common := common_conditions(records):
        sentences.append(f"All runs: {common}.")
    if any(record.measurements.step_ms is not None for record in records):
        sentences.append(
            "Milliseconds per step are the student's own; the teacher's share is its pass divided by the runs"
            " that share it."
        )
    if any(row.value("whole_s") is not None for row in rows):
        sentences.append(WHOLE_COST)
    return sentences + provenance_warnings(records)


def caption_of_lost(blocks: Iterable[PairBlock]) -> list[str]:
    """What means leave out, where that happened."""
    rows = [row for block in blocks for row in block.students]
    lost = [status for status in LOST if any(row.count(status) for row in rows)]
    lost += ["have no score"] * any(row.unscored_places for row in rows)
    return [f"Means leave out runs that {' or '.join(lost)}; the status column counts them."] if lost else []


def of_survivors(rows: Iterable[ResultRow]) -> str:
    """A sentence, behind those of a figure, on the rows whose means leave out runs; empty where none does."""
    partly = [row for row in rows if row.lost and row.finished]
    of = ", ".join(dict.fromkeys(row.title for row in partly))
    lost = (
        "diverged, failed or have no score"
        if any(r.unscored_places for r in partly)
        else "diverged or failed"
    )
    return f" Runs of {of} {lost}: their means are those of the others." if partly else ""


def _handed_over(records: Iterable[Record]) -> list[str]:
    """What a teacher that saw the students' own samples tells of the labels that are hidden from them."""
    scores = [
        score * record.metrics[record.primary_metric].scale
        for record in records
        if record.condition.label_fraction < 1 and record.condition.teacher_data == "shared"
        for score in [record.teacher.train.get(record.primary_metric)]
        if score is not None
    ]
    if not scores:
        return []
    return [
        "With few labels the teacher learnt from the students' own samples, hidden labels among them, and"
        f" scores {max(scores):.1f} on them: it hands those labels over (--teacher-data disjoint keeps them"
        " apart)."
    ]


def caption_of_marks(blocks: list[PairBlock]) -> list[str]:
    """What the marks of the best rows mean, or why nothing is marked; what three or four seeds are worth."""
    groups = [rows for block in blocks for rows in block.comparisons if len(rows) > 1]
    rows = [row for own in groups for row in own]
    # Over several teachers or splits these are what a test has to go on.
    most = max((len(set(row.clusters.values())) or len(row.finished) for row in rows), default=0)
    if not most:
        return []
    if most < INTERVAL_FROM:
        over = "teachers or splits" if any(row.clusters for row in rows) else "seeds"
        return [f"Below {INTERVAL_FROM} {over} nothing is tested and no winner is marked."]
    return [
        f"{BEST_MARK}: the best, the only one that may be. {TIED_MARK}: the rows that may be the best"
        " (multiple comparisons with the best, 95 % jointly); controls don't compete, nor does a row of which"
        " a run diverged or failed."
    ]


def caption_of_verdicts(rows: Iterable[ResultRow]) -> list[str]:
    """What verdicts mean, and what the comparisons could have seen."""
    tested = [each for row in rows for each in row.differences.values() if not math.isnan(each.p)]
    if not tested:
        return []
    return [
        "above, below: the adjusted p is below 0.05; none > X: it is not, and the interval rules out a"
        " difference of more than X, less than what would have been visible; undecided: neither.",
        "Smallest visible: the true difference that would have been found with a chance of 80 %.",
    ]


def conditional_on(rows: Iterable[ResultRow]) -> str:
    """What the intervals of these rows hold over: one sentence for tables, figures, page and summary."""
    over_several = [row for row in rows if row.clusters]
    if any(not math.isnan(value.low) for row in over_several for value in row.values.values()):
        return "Intervals of rows over several teachers or splits hold over those; n counts runs."
    if over_several:
        return "Rows over several teachers or splits have no interval, those being too few; n counts runs."
    return "All numbers, and every interval over student seeds, are conditional on the teacher and the split."


def provenance_warnings(records: Iterable[Record]) -> list[str]:
    """Sentences for records of several commits or devices, or of a tree with uncommitted changes."""
    records = list(records)
    known = [record.provenance for record in records]
    fused = sum(record.measurements.fused > 1 for record in records)
    graphed = sum(record.measurements.graphed for record in records)
    folded = sum(record.measurements.folded for record in records)
    commits = sorted({provenance.commit[:8] for provenance in known if provenance.commit})
    dirty = sum(provenance.clean is False for provenance in known)
    devices = sorted({provenance.device for provenance in known if provenance.device})
    threads = sorted({provenance.threads for provenance in known if provenance.threads})
    sentences = []
    if len(commits) > 1:
        sentences.append(f"These records mix {len(commits)} commits of the code: {', '.join(commits)}.")
    if dirty:
        sentences.append(f"{dirty} of {len(known)} records come from a tree with uncommitted changes.")
    if len(devices) > 1:
        sentences.append(
            f"These records mix devices: {', '.join(devices)}; times and memory are not comparable."
        )
    if len(threads) > 1:
        sentences.append(
            f"These records mix numbers of threads: {', '.join(map(str, threads))}; last digits may differ."
        )
    if fused:
        sentences.append(
            f"{fused} of {len(known)} students were computed together with others (--fuse); last digits may"
            " differ."
        )
    if graphed:
        sentences.append(
            f"Passes over {graphed} of {len(known)} students were launched as CUDA graphs (--graphs); last"
            " digits may differ."
        )
    if folded:
        sentences.append(
            f"{folded} of {len(known)} students learnt from a teacher with folded norms (--fold); last digits"
            " differ."
        )
    return sentences
