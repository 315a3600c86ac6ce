"""Writes the pages whose numbers come from records: `python -m benchmark.reporting.documents`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from benchmark.reporting import archive, figures
from benchmark.reporting.documents.pages import DOCS, Documents
from benchmark.reporting.output import make_folder
from benchmark.telling import check_no_arguments, exit_code


def main(arguments: Sequence[str] = ()) -> int:
    """Writes every page and picture; the exit code."""
    return exit_code("benchmark.reporting.documents", partial(_main, arguments))


def _main(arguments: Sequence[str]) -> int:
    check_no_arguments(arguments, "writes the pages that are made of records")
    with ExitStack() as stack:
        documents = Documents.made(lambda name: stack.enter_context(archive.opened(name)))
        for path, text in documents.pages.items():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
        images = make_folder(DOCS / "images")
        for drawing in documents.pictures.values():
            for path in figures.save_drawing(drawing, images):
                if path.suffix == ".pdf":
                    path.unlink()
                else:
                    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
