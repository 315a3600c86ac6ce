"""What the site does to pages that forges show as they are: mkdocs.yml names this file as its hooks.

Pages at the top of the repository become pages of the site; links that lead out of docs/ lead to copies, and
lists may follow a paragraph without an empty line, as everywhere but in Python-Markdown.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages at the top of the repository -> their names in the site."""

COPIES = "repository"
"""The folder of the site for linked files that are no pages."""

LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"```.*?^ *```", re.DOTALL | re.MULTILINE)
ITEM = re.compile(r" *(?:[-*+]|1[.)]) ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the top."""
    for source, name in TOP.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page as Python-Markdown wants it, with every link within the site."""
    sources = {name: source for source, name in TOP.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def within(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        inside = TOP.get(target, target.removeprefix("docs/"))
        if not _shown(files, inside):
            if (ROOT / target).is_dir():
                return link[1]  # no page: its name stays
            inside = f"{COPIES}/{target}"
            if (ROOT / target).is_file() and not _shown(files, inside):
                files.append(File.generated(config, inside, abs_src_path=str(ROOT / target)))
        path = posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{link[1]}]({path}{link[3] or ''})"

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [_with_lists(LINK.sub(within, markdown[end : fence.start()])), fence[0]]
        end = fence.end()
    return "".join([*parts, _with_lists(LINK.sub(within, markdown[end:]))])


def _shown(files: Files, name: str) -> bool:
    """Whether the site has a file of this name."""
    file = files.get_file_from_path(name)
    return file is not None and not file.inclusion.is_excluded()


def _with_lists(text: str) -> str:
    """The text with an empty line before each list that follows a paragraph."""
    lines: list[str] = []
    listed = False
    for line in text.split("\n"):
        if ITEM.match(line):
            if not listed and lines and lines[-1].strip():
                lines.append("")
            listed = True
        elif not line.startswith(" "):
            listed = False
        lines.append(line)
    return "\n".join(lines)
