"""Task tables on the terminal, as Markdown and as plain text; all their forms as files."""

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from benchmark.reporting.formatting import block_title, show_value
from benchmark.reporting.output import file_name, make_folder, write
from benchmark.reporting.rows import PairBlock, ResultRow
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.task_tables import Column, TaskTable, fitting, row_groups


def save_tables(tables: Iterable[TaskTable], folder: Path) -> list[Path]:
    """Write `<task>.csv`, `.md`, `.tex` and `.txt` for every task; returns the paths."""
    make_folder(folder)
    written = []
    for table in tables:
        forms = {
            "csv": table.frame.to_csv(index=False),
            "md": to_markdown(table),
            "tex": to_latex(table),
            "txt": to_text(table),
        }
        for ending, text in forms.items():
            written.append(write(folder / f"{file_name(table.stem)}.{ending}", text))
    return written


# --- terminal and plain text ---


def print_table(table: TaskTable, console: Console) -> None:
    """Print the table with as many columns as fit the console; a line below names the others.

    Where not even those fit that are always shown, what tells rows apart goes into their names and headings.
    """

    def fits(columns: list[Column]) -> bool:
        return _natural_width(_widths(table.blocks, [("", columns)] * len(table.blocks))) <= console.width

    columns = fitting(table.columns, fits)
    headed = [(block_title(block), columns) for block in table.blocks]
    if _natural_width(_widths(table.blocks, headed)) > console.width:
        headed = [_compacted(block, columns) for block in table.blocks]
    widths = _widths(table.blocks, headed)
    console.print()
    console.print(Text(table.title, style="bold"))
    for block, (title, own) in zip(table.blocks, headed, strict=True):
        console.print()
        console.print(Text(title, style="cyan"))
        console.print(_grid(block, own, widths, wrap=_natural_width(widths) > console.width))
    for number, note in enumerate(table.notes, start=1):
        console.print(Text(f"[{number}] {note}"))
    left_out = [column.title for column in table.columns if column not in columns]
    if left_out:
        place = f"tables/{file_name(table.stem)}.txt"
        console.print(Text(f"Too narrow for: {'; '.join(left_out)}. See {place}.", style="dim"))
    console.print(Text(" ".join(table.caption), style="dim"))


def _compacted(block: PairBlock, columns: list[Column]) -> tuple[str, list[Column]]:
    """The block's heading with the conditions that its students share, and the columns without any.

    What tells its rows apart stands behind their names.
    """
    telling = [column for column in columns if column.tells]
    values = {column.header: dict.fromkeys(map(column.cell, block.students)) for column in telling}
    shared = [column for column in telling if len(values[column.header]) == 1]

    def words(row: ResultRow, some: Iterable[Column]) -> list[str]:
        """The cells that say something: text by itself, a number with its header."""
        known = [
            (column, column.cell(row)) for column in some if column.cell(row) not in ("", show_value(None))
        ]
        return [f"{column.title} {text}" if column.numeric else text for column, text in known]

    def name(row: ResultRow) -> str:
        told = ", ".join(words(row, (column for column in telling if column not in shared)))
        if told and not row.is_student and row.title.endswith(")"):  # its network stands there
            return f"{row.title[:-1]}; {told})"
        return f"{row.title} ({told})" if told else row.title

    method, *others = (column for column in columns if not column.tells)
    title = "; ".join([block_title(block), *(words(block.students[0], shared) if block.students else ())])
    return title, [replace(method, cell=name), *others]


def _natural_width(widths: list[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _widths(blocks: list[PairBlock], headed: list[tuple[str, list[Column]]]) -> list[int]:
    """The width of each column over all blocks, so that blocks stand in line."""
    widths = []
    for block, (_, columns) in zip(blocks, headed, strict=True):
        texts = [[column.header, *map(column.cell, block.rows)] for column in columns]
        widths.append([max(len(line) for text in own for line in text.split("\n")) for own in texts])
    return list(map(max, zip(*widths, strict=True)))


def _grid(block: PairBlock, columns: list[Column], widths: list[int], wrap: bool) -> Table:
    grid = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for column, width in zip(columns, widths, strict=True):
        grid.add_column(
            Text(column.header),
            justify="right" if column.numeric else "left",
            # The last resort of a narrow terminal is to wrap words; a number never breaks.
            no_wrap=column.numeric,
            min_width=width if column.numeric or not wrap else min(width, 14),
            max_width=width,
        )
    for group in row_groups(block):
        grid.add_section()
        for row in group:
            grid.add_row(*(Text(column.cell(row)) for column in columns))
    return grid


def to_text(table: TaskTable) -> str:
    """The whole table as plain text, as wide as it needs to be."""
    headed = [("", table.columns)] * len(table.blocks)
    natural = _natural_width(_widths(table.blocks, headed)) + 2
    text = io.StringIO()
    console = Console(file=text, width=max(natural, 100), color_system=None, legacy_windows=False)
    print_table(table, console)
    lines = text.getvalue().strip("\n").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


# --- Markdown ---


def to_markdown(table: TaskTable) -> str:
    """A heading for the task and for each block, pipe tables, notes, caption."""
    align = ["right" if column.numeric else "left" for column in table.columns]
    headers = [_markdown(column.title) for column in table.columns]
    parts = [f"## {_markdown(table.title)}"]
    for block in table.blocks:
        cells = [[_markdown(column.cell(row)) for column in table.columns] for row in block.rows]
        grid = tabulate(cells, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
        parts += [f"### {_markdown(block_title(block))}", grid]
    if table.notes:
        parts.append(
            "\n".join(f"- \\[{k}\\] {_markdown(note)}" for k, note in enumerate(table.notes, start=1))
        )
    parts.append(" ".join(table.caption))
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    for character in "\\|*_<[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
