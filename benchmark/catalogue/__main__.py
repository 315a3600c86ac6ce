"""`python -m benchmark.catalogue` writes what is generated from the code: docs/baselines.md and the catalogue
that --list reads."""

from __future__ import annotations

from benchmark import plugins
from benchmark.catalogue import index
from benchmark.catalogue.page import page


def main() -> None:
    """Writes both files."""
    registry = plugins.load()
    written = plugins.ROOT / "docs" / "baselines.md"
    written.write_text(page(registry))
    index.save(index.explored(registry, index.key_of()), index.COMMITTED)
    print(f"wrote {written} and {index.COMMITTED}")


if __name__ == "__main__":
    main()
