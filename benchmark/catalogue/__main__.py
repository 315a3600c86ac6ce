"""`python -m benchmark.catalogue` writes what is generated from the code: docs/baselines.md, the table of
docs/losses.md, and the catalogue that --list reads. Other installed packages have no part in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmark import plugins
from benchmark.catalogue import functions, index
from benchmark.catalogue.page import page
from benchmark.program import ROOT
from benchmark.telling import check_no_arguments, exit_code


def main(arguments: Sequence[str]) -> int:
    """Writes all three; the exit code."""
    return exit_code("benchmark.catalogue", partial(_main, arguments))


def _main(arguments: Sequence[str]) -> int:
    check_no_arguments(arguments, "writes docs/baselines.md, the table of docs/losses.md and the catalogue")
    registry = plugins.load(installed_too=False)
    written = ROOT / "docs" / "baselines.md"
    functions.PAGE.write_text(functions.with_table(functions.PAGE.read_text(), registry))
    written.write_text(page(registry))
    index.save(index.explored(registry, index.key_of()), index.COMMITTED)
    print(f"wrote {written}, {functions.PAGE} and {index.COMMITTED}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
