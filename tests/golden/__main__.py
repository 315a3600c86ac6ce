"""Checks golden files against the losses that train here: python -m tests.golden DIRECTORY_OR_FILE...

One line per quantity: the largest error relative to the largest reference value. Exit code 1 where one is
above the tolerance, 2 where a file can't be read or run; a file that no adapter knows is named and fails
nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import tests.golden.adapters  # noqa: F401  registers them
from tests.golden.adapters.registry import adapter_of, tolerance_of

COMPARED = ("loss", "grad_", "out_", "Z_", "updated_")


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """max|ours - reference| / max|reference|; absolute where the reference is zero, inf for other shapes."""
    if ours.shape != reference.shape:
        return float("inf")
    scale = np.abs(reference).max(initial=0.0)
    return float(np.abs(ours - reference).max(initial=0.0) / (scale if scale != 0 else 1.0))


def errors_of(file: Path) -> dict[str, float] | None:
    """The error of each quantity that both the file and its adapter have; None where there is no adapter.

    Raises whatever an unreadable or incomplete file makes NumPy and the adapter raise.
    """
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    adapter = adapter_of(file.stem)
    if adapter is None:
        return None
    if "loss" not in arrays:
        raise ValueError("it holds no 'loss'")
    ours = adapter(arrays)
    return {
        name: relative_error(value.detach().numpy().astype(np.float64), arrays[name].astype(np.float64))
        for name, value in ours.items()
        if name in arrays and name.startswith(COMPARED)
    }


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """The .npz files of directories, and files as they are given."""
    for path in paths:
        yield from sorted(path.glob("*.npz")) if path.is_dir() else [path]


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        print("usage: python -m tests.golden DIRECTORY_OR_FILE...", file=sys.stderr)
        return 2
    files = list(files_of([Path(argument) for argument in arguments]))
    if not files:
        print(f"no .npz files in {' '.join(arguments)}", file=sys.stderr)
        return 2
    failed, unreadable, unknown = [], [], []
    for file in files:
        try:
            errors = errors_of(file)
        except Exception as error:
            first_line = next(iter(str(error).splitlines()), "")
            print(f"{file}: can't be checked: {type(error).__name__}: {first_line}", file=sys.stderr)
            unreadable.append(file)
            continue
        if errors is None:
            print(f"{file}: no adapter")
            unknown.append(file)
            continue
        # `not <=` so that NaN fails too.
        wrong = {name for name, error in errors.items() if not error <= tolerance_of(file.stem, name)}
        print(f"{file}: {'FAILED' if wrong else 'ok'}")
        for name, error in errors.items():
            print(f"    {name:<40} {error:.1e}{'  above tolerance' if name in wrong else ''}")
        if wrong:
            failed.append(file)
    checked = len(files) - len(unknown) - len(unreadable)
    print(f"{checked} checked, {len(failed)} failed, {len(unknown)} unknown, {len(unreadable)} unreadable")
    return 1 if failed else 2 if unreadable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
