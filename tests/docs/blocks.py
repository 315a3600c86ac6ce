"""What is code in the documentation: blocks between fences, and commands among the words."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
SHELL = ("", "sh")
PROGRAMS = ("python", "make", "torchrun", "pip", "conda", "wcord-bench", "git", "apt-get")
"""With one of them a command among the words begins."""


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str


def pages() -> list[str]:
    """Every page of the site that is written, or generated, in the repository."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/api/*.md")]
    return sorted(str(file.relative_to(ROOT)) for file in files)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [Block(language, text) for language, text in FENCE.findall(text_of(page))]


def python_of(page: str) -> list[str]:
    """The Python of a page, block by block."""
    return [block.text for block in blocks(page) if block.language == "python"]


def words_of(page: str) -> list[str]:
    """What stands between backticks in the text itself, each in one line."""
    return [" ".join(word.split()) for word in INLINE.findall(FENCE.sub("", text_of(page)))]


def commands(page: str) -> list[str]:
    """Every command of a page, without comments, each in one line."""
    found = []
    for block in blocks(page):
        if block.language in SHELL:
            lines = block.text.replace("\\\n", " ").splitlines()
            found += [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]
    for word in words_of(page):
        bare = re.sub(r"^(?:\w+=\S+ )+", "", word)
        if bare.partition(" ")[0] in PROGRAMS and " " in bare:
            found.append(shlex.join(shlex.split(word)))
    return list(dict.fromkeys(found))
