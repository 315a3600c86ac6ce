"""`python -m wcord_bench`: the same as `wcord-bench`."""

from __future__ import annotations

from wcord_bench import main

if __name__ == "__main__":
    raise SystemExit(main())
