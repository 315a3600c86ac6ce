"""How LaTeX sets a column of a task table: its cells, siunitx's alignment, and an estimate of its width."""

import re
from dataclasses import dataclass

from benchmark.reporting.formatting import Cell, show_value
from benchmark.reporting.tables.latex_text import MINUS, em, flowing, latex_escape
from benchmark.reporting.tables.task_tables import METHOD, Column

NONE = show_value(None)


@dataclass(frozen=True, eq=False)
class SetColumn:
    """A column as it is set."""

    column: Column
    texts: tuple[str, ...]
    """one for each row of all blocks"""
    align: str
    """`l`, `r`, `>{...}p{...}` or `S[...]`"""
    width: float
    """estimated, in em"""

    @property
    def header(self) -> tuple[str, ...]:
        """Its lines."""
        return tuple(self.column.header.split("\n"))

    @property
    def is_key(self) -> bool:
        """Whether it says which row this is, and so leads every part of a divided table."""
        return self.column.tells or self.column.title == METHOD.title

    def cells(self) -> list[str]:
        """The texts as the column needs them: words, or a number for siunitx with the words behind it."""
        if self.align.startswith(">"):
            return [flowing(text, self.width) for text in self.texts]
        if not self.align.startswith("S"):
            return [_words(text) for text in self.texts]
        return [_aligned(text) for text in self.texts]


def set_column(column: Column, texts: list[str]) -> SetColumn:
    """Aligned on the decimal point if it has numbers; the format reserves room for all of them."""
    header = column.header.split("\n")
    numbers = [each for each in map(_number, texts) if each] if column.numeric else []
    if not numbers:
        align = (
            "r"
            if column.numeric and all(text[:1].isdigit() or text == NONE for text in texts if text)
            else "l"
        )
        width = max(map(em, (*header, *texts)))
        return SetColumn(column, tuple(texts), align, width)
    sign = "+" * any(each.number[0] in "+-" for each in numbers)
    parts = [each.number.lstrip("+-").partition(".") for each in numbers]
    whole, decimals = max(len(part[0]) for part in parts), max(len(part[2]) for part in parts)
    deviations = [each.deviation.replace(".", "").lstrip("0") for each in numbers if each.deviation]
    digits = max((len(each) or 1 for each in deviations), default=0)
    behind = max((each.words for each in numbers), key=em)
    form = f"{sign}{whole}{f'.{decimals}' * (decimals > 0)}{f'({digits})' * (digits > 0)}"
    spread = f" ± 0.{'0' * max(digits, decimals)}" * (digits > 0)
    drawn = f"{sign}{'0' * whole}.{'0' * decimals}{spread} {behind}"
    words = [text for text in texts if not _number(text)]
    width = max(map(em, (drawn.rstrip(), *header, *words)))
    align = f"S[table-format={form}{_behind(behind)}]"
    return SetColumn(column, tuple(texts), align, width)


def _number(text: str) -> Cell | None:
    """The cell, if it is a number whose deviation, if any, has as many decimals."""
    if not isinstance(text, Cell) or not text.number:
        return None
    same = len(text.number.partition(".")[2]) == len(text.deviation.partition(".")[2])
    return text if same or not text.deviation else None


def _aligned(text: str) -> str:
    """A cell of an S column."""
    number = _number(text)
    if number is None:
        return f"{{{_words(text)}}}" if text else ""
    spread = rf" \pm {number.deviation}" if number.deviation else ""
    return f"{number.number}{spread}{_behind(number.words)}"


def _behind(words: str) -> str:
    return f"{{~{_words(words)}}}" if words else ""


def _words(text: str) -> str:
    """A cell's words, with signs of numbers and powers of ten as such."""
    if power := re.fullmatch(r"([0-9.]+)e([+-]?[0-9]+)", text):
        return rf"${power[1]}\times10^{{{int(power[2])}}}$"
    return latex_escape(MINUS.sub("−", text))
