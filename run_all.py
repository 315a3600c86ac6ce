"""Trains every distillation method on the tasks asked for, and reports: `python run_all.py --help`."""

from benchmark.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
