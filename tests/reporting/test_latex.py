"""The LaTeX form of every kind of table: columns within the page, aligned numbers, text that stays text."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.records import Metric, Record
from benchmark.reporting.formatting import Cell
from benchmark.reporting.results import Results
from benchmark.reporting.tables.latex import GAP, HALF, PAGE, SMALLEST, latex_escape, to_latex
from benchmark.reporting.tables.latex_columns import set_column
from benchmark.reporting.tables.latex_text import em
from benchmark.reporting.tables.pair_tables import pair_tables
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.task_tables import Column, TaskTable, task_tables
from tests.reporting.fake_records import BASELINES, METRICS, all_records, altered, make_record

of = Cell.of

HOSTILE = (
    "[1.5] a_b & 5% #1 $x$ {y} ~ ^ \\ <>| ±→↑↓–−●○… müßig żółć αβΩ 中文 \x00\u202e *y `z' --- ?` ½\n"
    "%\\end{document}"
)
PAIRS = [f"resnet{k}x4-shufflenet_v{k}" for k in range(13)]


def every_table(records: list[Record]) -> list[TaskTable]:
    return [table for make in (task_tables, pair_tables, probe_tables) for table in make(Results.of(records))]


def probed() -> list[Record]:
    """Two primary metrics, eight probes."""
    metrics = METRICS | {"miou": Metric("Mean IoU", "mIoU", "max", "%", 100, primary=True)}
    records = []
    for baseline in BASELINES:
        for seed in range(5):
            score = 0.4 + 0.01 * seed
            probes = {"own": {"linear": score, "knn": 0.3, "few_shot_1": 0.1, "few_shot_5": 0.2}}
            probes["digits"] = dict(probes["own"])
            record = make_record(baseline, seed)
            scores = {split: {**found, "miou": score} for split, found in record.results.scores.items()}
            results = {"scores": scores, "probes": probes, "untrained_probes": probes}
            records.append(altered(record, metrics=metrics, results=results, teacher={"probes": probes}))
    return records


def many_pairs() -> list[Record]:
    return [make_record(name, seed, pair=pair) for name in BASELINES for seed in range(3) for pair in PAIRS]


def hostile() -> list[Record]:
    """Text that LaTeX would obey, and words that have no place to break, wherever text goes."""
    about = {"task_title": HOSTILE, "dataset_title": HOSTILE}
    titles = {"scratch": HOSTILE, "kd": "m" * 90, "crd": f"*{HOSTILE}"}
    metrics = {"top1": Metric(HOSTILE, HOSTILE[:30], "max", HOSTILE[:9], 100, primary=True)}
    return [
        altered(
            make_record(
                name,
                seed,
                "finished" if seed else "failed",
                reason=HOSTILE + "/a_long_path" * 30,
                overrides={"x": HOSTILE, "recipe.y": "w" * 40} if name == "kd" else {},
            ),
            about={**about, "baseline_title": title},
            metrics=metrics,
        )
        for name, title in titles.items()
        for seed in range(4)
    ]


ALL = {"usual": all_records, "probed": probed, "many pairs": many_pairs, "hostile": hostile}


def of_task(task: str) -> TaskTable:
    return next(table for table in every_table(all_records()) if table.stem == task)


def lines_of_cells(text: str) -> list[list[str]]:
    """The cells of each line of the tabulars, headings of blocks left out."""
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and r"\multicolumn" not in line]
    return [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines]


def printed_headers(text: str) -> str:
    return " ".join(text.split(r"\toprule")[1].split(r"\midrule")[0].split())


def made_of(*columns: Column) -> TaskTable:
    """A table of one block with these columns."""
    table = of_task("compression_cifar100_pairs")
    return TaskTable(
        "made",
        "results",
        "made",
        "Made",
        table.blocks,
        list(columns),
        ["Shown.", "More. Most."],
        [],
        table.frame,
    )


@pytest.mark.parametrize("records", ALL.values(), ids=ALL.keys())
def test_each_line_has_a_cell_for_each_column_and_none_is_enlarged(records) -> None:
    for table in every_table(records()):
        text = to_latex(table)
        assert text.startswith(r"% \usepackage{booktabs,siunitx")
        assert text.count(r"\begin{tabular}") == text.count(r"\toprule") == text.count(r"\bottomrule")
        for part in text.split(r"\begin{tabular}")[1:]:
            lines = lines_of_cells(part.split(r"\end{tabular}")[0])
            assert len(lines) > sum(len(block.rows) for block in table.blocks)
            assert len({len(line) for line in lines}) == 1
        shrunk = re.findall(r"\\resizebox\{(.*?)\}\{!\}", text)
        assert all(r"\ifdim\width>\textwidth\textwidth\else\width\fi" in width for width in shrunk)
        assert bool(shrunk) == ("graphicx" in text.splitlines()[0])
        assert not shrunk or records is hostile


def test_columns_leave_by_their_spare_until_the_page_holds_the_others() -> None:
    table = of_task("compression")
    text = to_latex(table)
    comment = text.splitlines()[1]
    assert comment.startswith("% Too wide for the page, in compression.csv: ")
    rows = [row for block in table.blocks for row in block.rows]
    kept, left = [], []
    for column in table.columns:
        title = column.header.replace("-\n", "-").replace("\n", " ")
        (left if title in comment.split(": ", 1)[1].split("; ") else kept).append(column)
    assert left
    assert max(column.spare for column in kept) <= min(column.spare for column in left)
    widths = [set_column(column, [column.cell(row) for row in rows]).width for column in kept]
    room = SMALLEST[1] * sum(widths) + GAP * (len(widths) - 1)
    first = min(left, key=lambda column: column.spare)
    assert room <= PAGE < room + GAP + SMALLEST[1] * em(max(map(first.cell, rows), key=em)) + PAGE / 5
    assert len(lines_of_cells(text)[0]) == len(kept)
    for column in kept:
        assert latex_escape(column.header.split("\n")[-1]) in printed_headers(text)


def test_a_narrow_table_fits_one_of_two_columns_and_names_no_other_column() -> None:
    text = to_latex(of_task("compression_cifar100_pairs"))
    assert r"\begin{table}" in text
    assert r"\end{table}" in text
    assert "Too wide" not in text
    assert r"\begin{table*}" in to_latex(of_task("compression_shapes_pairs"))
    assert HALF < PAGE / 2


def test_words_wrap_before_a_table_is_divided_and_parts_repeat_what_names_the_row() -> None:
    words = "several words of one override, " * 6
    wide = [Column(f"result {k}", lambda row: Cell.of("61.25", "0.75")) for k in range(12)]
    keys = [
        Column("method", lambda row: row.title, numeric=False),
        Column("overrides", lambda row: words, numeric=True, tells=True),
    ]
    text = to_latex(made_of(*keys, *wide[:3]))
    assert text.count(r"\begin{tabular}") == 1
    assert re.search(r"\{@\{\}l>\{\\raggedright\\arraybackslash\}p\{\d+pt\}S", text)
    divided = to_latex(made_of(*keys, *wide))
    assert divided.count("{method} & {overrides}") == divided.count(r"\begin{tabular}") > 1
    assert [divided.count(f"{{result {k}}}") for k in range(12)] == [1] * 12
    assert r"\resizebox" not in divided


def test_a_single_column_beyond_the_page_shrinks() -> None:
    text = to_latex(made_of(Column("loss", lambda row: Cell.of("0.5", "", "words " * 40))))
    assert r"\usepackage{booktabs,siunitx,graphicx}" in text
    assert r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%" in text


@pytest.mark.parametrize(
    ("texts", "align", "cells"),
    [
        (
            [of("61.2", "0.8"), of("9.3", "10.1"), of("70.5"), of("100.0", "0.0", "(n=2)"), ""],
            "S[table-format=3.1(3){~(n=2)}]",
            [r"61.2 \pm 0.8", r"9.3 \pm 10.1", "70.5", r"100.0 \pm 0.0{~(n=2)}", ""],
        ),
        (
            [of("+1.2", "", "[+0.3, +2.1]"), of("-0.4", "", "[-1.5, +0.7]")],
            "S[table-format=+1.1{~[+0.3, +2.1]}]",
            ["+1.2{~[+0.3, +2.1]}", "-0.4{~[$-$1.5, +0.7]}"],
        ),
        ([of("0.012"), "3e-05", of("0.5")], "S[table-format=1.3]", ["0.012", r"{$3\times10^{-5}$}", "0.5"]),
        (
            [of("61.2", "0.8").with_words("○", ""), "not applicable [2]", of("79.4", "", "[1]")],
            "S[table-format=2.1(1){~[1]}]",
            [r"61.2 \pm 0.8{~$\circ$}", "{not applicable [2]}", "79.4{~[1]}"],
        ),
        (["83.9k", "1.27M", "–"], "r", ["83.9k", "1.27M", r"\textendash{}"]),
        (["disjoint", "shared"], "l", ["disjoint", "shared"]),
        ([of("3"), of("12")], "S[table-format=2]", ["3", "12"]),
        ([of("0.5", "0.25"), "1.2.3 words"], "l", [r"0.5 $\pm$ 0.25", "1.2.3 words"]),
        (["61.2 ± 0.8 that a title says"], "l", [r"61.2 $\pm$ 0.8 that a title says"]),
    ],
)
def test_numbers_align_and_everything_else_is_braced_words(texts, align, cells) -> None:
    column = set_column(Column("x", lambda row: ""), texts)
    assert column.cells() == cells
    if align != "l" or "disjoint" in texts:
        assert column.align == align
    words = set_column(Column("x", lambda row: "", numeric=False), texts)
    assert words.align == "l"


def test_the_caption_is_short_and_explanations_and_notes_stand_below() -> None:
    table = of_task("compression")
    text = to_latex(table)
    above, below = text.split(r"\end{tabular}")
    caption = re.search(r"\\caption\{(.*)\}\n", above)[1]
    assert caption == (
        r"Compression. Results on the test split: mean $\pm$ sample standard deviation over n seeds."
    )
    assert r"\label{tab:compression}" in above
    assert "[1] the loss is nan at epoch 3" in below
    assert r"[2] stages differ in channels: 16 \& 32\_64" in below
    assert "For the teacher, n counts distinct teachers; a single run has no" in below
    for sentence in table.caption[1:]:
        assert latex_escape(sentence) in below


def test_a_cell_at_the_start_of_a_line_is_no_option_of_the_break_before_it() -> None:
    for title in ("[1pt] x", "*x"):
        records = [altered(make_record(), about={"baseline_title": title})]
        assert f"\n{{}}{title}" in to_latex(task_tables(Results.of(records))[0])


def test_every_character_is_escaped_or_replaced() -> None:
    assert latex_escape("a_b & 5% #1 $x$ {y} ~ ^ \\") == (
        r"a\_b \& 5\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert latex_escape("x\ny\x00 – ü ß Ω 中 ½ u\u0308 --") == (
        r"x y \textendash{} \"{u} \ss{} $\Omega$ ? 1/2 \"{u} -{}-"
    )
    every = latex_escape("".join(map(chr, range(0x3000))))
    assert every.isascii()
    assert every.isprintable()
    for table in every_table(hostile()):
        text = to_latex(table)
        assert text.split("\n", 2)[2].isascii()
        assert not re.search(
            r"(?<!\\)[#_~](?!\()|(?<!\\)%(?=.)", text.split(r"\sisetup")[1].replace("{~", "")
        )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("layout", ["", "twocolumn"])
@pytest.mark.parametrize("records", ALL.values(), ids=ALL.keys())
def test_every_kind_of_table_compiles_within_the_page(tmp_path: Path, records, layout: str) -> None:
    body = "\n\\clearpage\n".join(map(to_latex, every_table(records())))
    document = (
        rf"\documentclass[{layout}]{{article}}\usepackage[textwidth=6.5in,textheight=9in]{{geometry}}"
        rf"\usepackage{{booktabs,siunitx,graphicx}}\begin{{document}}{body}\end{{document}}"
    )
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    if "File `siunitx.sty' not found" in ended.stdout:
        pytest.skip("siunitx is not installed")
    assert ended.returncode == 0, ended.stdout[-3000:]
    too_wide = re.findall(r"Overfull \\hbox \(([\d.]+)pt", ended.stdout)
    assert not [points for points in map(float, too_wide) if points > 1]
