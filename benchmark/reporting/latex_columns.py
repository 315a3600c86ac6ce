"""How LaTeX sets a column of a task table: its cells, siunitx's alignment, and an estimate of its width."""

import re
from dataclasses import dataclass

from benchmark.reporting.latex_text import MINUS, em, flowing, latex_escape
from benchmark.reporting.tables import Column

NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?: ± ([0-9]+)(?:\.([0-9]+))?)?( .*)?")
"""Sign, digits, decimals, the deviation's digits and decimals, the words behind: `61.2 ± 0.8 (n=2)`."""


@dataclass(frozen=True, eq=False)
class SetColumn:
    """A column as it is set."""

    header: tuple[str, ...]
    """its lines"""
    texts: tuple[str, ...]
    """one for each row of all blocks"""
    spare: int
    align: str
    """`l`, `r`, `>{...}p{...}` or `S[...]`"""
    width: float
    """estimated, in em"""
    tells: bool = False
    """whether it tells rows of one baseline apart"""

    @property
    def title(self) -> str:
        return " ".join(self.header).replace("- ", "-")

    @property
    def is_key(self) -> bool:
        """Whether it says which row this is, and so leads every part of a divided table."""
        return self.tells or self.title == "method"

    def cells(self) -> list[str]:
        """The texts as the column needs them: words, or a number for siunitx with the words behind it."""
        if self.align.startswith(">"):
            return [flowing(text, self.width) for text in self.texts]
        if not self.align.startswith("S"):
            return [_words(text) for text in self.texts]
        return [_aligned(text) for text in self.texts]


def set_column(column: Column, texts: list[str]) -> SetColumn:
    """Aligned on the decimal point if it has numbers; the format reserves room for all of them."""
    header = tuple(column.header.split("\n"))
    numbers = [number for number in map(_number, texts) if number] if column.numeric else []
    if not numbers:
        counts = column.numeric and all(re.match("[0-9–]", text) for text in texts if text)
        align, width = "r" if counts else "l", max(map(em, (*header, *texts)))
        return SetColumn(header, tuple(texts), column.spare, align, width, column.tells)
    sign = "+" * any(number[1] for number in numbers)
    whole = max(len(number[2]) for number in numbers)
    decimals = max(len(number[3] or "") for number in numbers)
    deviations = [f"{number[4]}{number[5] or ''}".lstrip("0") for number in numbers if number[4]]
    digits = max((len(each) or 1 for each in deviations), default=0)
    behind = max((number[6] or "" for number in numbers), key=em)
    form = f"{sign}{whole}{f'.{decimals}' * (decimals > 0)}{f'({digits})' * (digits > 0)}"
    drawn = (
        f"{sign}{'0' * whole}.{'0' * decimals}{' ± 0.' * (digits > 0)}{'0' * max(digits, decimals)}{behind}"
    )
    words = [text for text in texts if not _number(text)]
    width = max(map(em, (drawn, *header, *words)))
    align = f"S[table-format={form}{_behind(behind)}]"
    return SetColumn(header, tuple(texts), column.spare, align, width, column.tells)


def _number(text: str) -> re.Match[str] | None:
    """The parts of `61.2 ± 0.8 (n=2)`, if value and deviation have the same decimals."""
    found = NUMBER.fullmatch(text)
    return found if found and (found[4] is None or len(found[3] or "") == len(found[5] or "")) else None


def _aligned(text: str) -> str:
    """A cell of an S column."""
    number = _number(text)
    if number is None:
        return f"{{{_words(text)}}}" if text else ""
    behind = number[6] or ""
    return text.removesuffix(behind).replace("±", r"\pm") + _behind(behind)


def _behind(text: str) -> str:
    return f"{{~{_words(text[1:])}}}" if text else ""


def _words(text: str) -> str:
    """A cell's words, with signs of numbers and powers of ten as such."""
    if power := re.fullmatch(r"([0-9.]+)e([+-]?[0-9]+)", text):
        return rf"${power[1]}\times10^{{{int(power[2])}}}$"
    return latex_escape(MINUS.sub("−", text))
