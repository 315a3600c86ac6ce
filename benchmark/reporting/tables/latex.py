"""Task tables as LaTeX that can be pasted: in print size, within the page, numbers aligned by siunitx."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from benchmark.reporting.formatting import Cell, block_title
from benchmark.reporting.tables.latex_columns import SetColumn, set_column
from benchmark.reporting.tables.latex_text import em, flowing, latex_escape
from benchmark.reporting.tables.task_tables import TaskTable, fitting, row_groups

PAGE, HALF = 468.0, 225.0
"""Widths in points: 6.5 inches of text, and one of two columns on them."""
SMALL, SMALLEST = (r"\small", 8.8), (r"\footnotesize", 8.0)
"""Sizes of type in a document of 10 points, and what an em of `EMS` is in them."""
GAP = 8.0
"""The space between two columns, in points."""
BREAKS = 9.0
"""From which width in em the words of a squeezed column may break; shorter ones set its least width."""

SETUP = (
    "uncertainty-mode=separate,retain-explicit-plus,retain-zero-uncertainty,retain-negative-zero,"
    "group-digits=none,table-align-uncertainty=false,table-align-text-after=false"
)
SHRUNK = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"


def to_latex(table: TaskTable) -> str:
    """A float with a short caption, as many columns as fit the page, and all explanations below.

    If the columns that are always shown are too wide, columns of words wrap; then the table is divided
    into parts, one below the other; only a part of a single column is ever shrunk.
    """
    rows = [row for block in table.blocks for row in block.rows]
    columns = {
        column: set_column(column, [_on_one_line(column.cell(row)) for row in rows])
        for column in table.columns
    }
    shown = fitting(columns, lambda some: _width([columns[each] for each in some]) <= PAGE)
    parts = _parts([columns[each] for each in shown])
    kind, room = ("table", HALF) if _widest(parts) <= HALF else ("table*", PAGE)
    size, _ = SMALL if _widest(parts, SMALL) <= room else SMALLEST
    caption, *sentences = _sentences(table)
    packages = "booktabs,siunitx,graphicx" if _widest(parts) > PAGE else "booktabs,siunitx"
    lines = [rf"% \usepackage{{{packages}}}"]
    if left_out := [each.title for each in columns if each not in shown]:
        lines.append(_comment(f"Too wide for the page, in {table.stem}.csv: {'; '.join(left_out)}"))
    lines += [
        rf"\begin{{{kind}}}",
        r"\centering\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]', '-', table.stem)}}}",
        rf"{size}\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
        rf"\sisetup{{{SETUP}}}",
    ]
    for number, part in enumerate(parts):
        lines += [r"\par\medskip"] * (number > 0) + _tabular(table, part)
    if sentences:
        lines += [r"\par\smallskip", rf"\begin{{minipage}}{{\linewidth}}{SMALLEST[0]}\raggedright"]
        lines += [rf"{sentence}\par" for sentence in sentences] + [r"\end{minipage}"]
    return "\n".join([*lines, rf"\end{{{kind}}}"]) + "\n"


def _on_one_line(text: str) -> str:
    return text if isinstance(text, Cell) else " ".join(text.split())


def _sentences(table: TaskTable) -> Iterator[str]:
    """The caption, then the paragraphs below: a note each, and the other sentences."""
    yield flowing(f"{table.title}. {' '.join(table.caption[:1])}")
    yield from (f"{{}}[{number}] {flowing(note)}" for number, note in enumerate(table.notes, start=1))
    rest = " ".join(table.caption[1:])
    if rest:
        yield flowing(rest)


def _comment(text: str) -> str:
    return "% " + "".join(character for character in text if character.isprintable())


# --- columns ---


def _width(columns: list[SetColumn], size: tuple[str, float] = SMALLEST) -> float:
    return size[1] * sum(column.width for column in columns) + GAP * (len(columns) - 1)


def _widest(parts: list[list[SetColumn]], size: tuple[str, float] = SMALLEST) -> float:
    return max(_width(part, size) for part in parts)


def _parts(columns: list[SetColumn]) -> list[list[SetColumn]]:
    """As few rows of columns as fit the page, of about equal numbers; columns that name a row are in each."""
    keys = [column for column in columns if column.is_key]
    others = [column for column in columns if not column.is_key]
    for count in range(1, len(others) + 1):
        step = math.ceil(len(others) / count)
        chunks = [others[k : k + step] for k in range(0, len(others), step)]
        parts = [_wrapped([each for each in columns if each in keys or each in chunk]) for chunk in chunks]
        if _widest(parts) <= PAGE:
            break
    return parts if others else [_wrapped(keys)]


def _wrapped(columns: list[SetColumn]) -> list[SetColumn]:
    """Wider than the page, columns of words give room, the widest first."""
    columns = list(columns)
    words = [position for position, column in enumerate(columns) if column.align in ("l", "r")]
    for position in sorted(words, key=lambda position: -columns[position].width):
        column = columns[position]
        excess = (_width(columns) - PAGE + 1) / SMALLEST[1]
        longest = max(em(word) for text in (*column.header, *column.texts) for word in text.split() or [""])
        width = max(min(longest, BREAKS), column.width - excess)
        if width < column.width and excess > 1 / SMALLEST[1]:
            align = rf">{{\raggedright\arraybackslash}}p{{{math.floor(SMALLEST[1] * width)}pt}}"
            columns[position] = replace(column, align=align, width=width)
    return columns


# --- lines ---


def _tabular(table: TaskTable, columns: list[SetColumn]) -> list[str]:
    """One tabular; its headers on as many lines as the longest has, so that their last lines align."""
    depth = max(len(column.header) for column in columns)
    headers = [("",) * (depth - len(column.header)) + column.header for column in columns]
    rows = zip(*(column.cells() for column in columns), strict=True)
    room = _width(columns)
    lines = [
        *[SHRUNK] * (room > PAGE),
        rf"\begin{{tabular}}{{@{{}}{''.join(column.align for column in columns)}@{{}}}}",
        r"\toprule",
        *(
            _line(f"{{{latex_escape(text)}}}" if text else "" for text in texts)
            for texts in zip(*headers, strict=True)
        ),
    ]
    for block in table.blocks:
        title = block_title(block)
        lines.append(r"\midrule")
        # A heading that is about as wide as the table wraps, lest it widen the last column.
        align = "l" if SMALLEST[1] * em(title) < 0.92 * room else rf"p{{{0.92 * min(room, PAGE):.0f}pt}}"
        flow = r"\raggedright " * (align != "l")
        lines.append(
            rf"\multicolumn{{{len(columns)}}}{{@{{}}{align}@{{}}}}{{{flow}\itshape {flowing(title)}}} \\"
        )
        for number, group in enumerate(row_groups(block)):
            lines += [r"\addlinespace"] * (number > 0)
            lines += [_line(next(rows)) for _ in group]
    return [*lines, r"\bottomrule", r"\end{tabular}" + "}" * (room > PAGE)]


def _line(cells: Iterable[str]) -> str:
    text = " & ".join(cells)
    # A bracket or a star would be read as an option of the line break before it.
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"
