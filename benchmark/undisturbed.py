"""What torch has once for the whole process: the code of one baseline must not change it for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], object], str]] = {
    "whether gradients are computed": (
        torch.is_grad_enabled,
        torch.set_grad_enabled,
        "use 'with torch.no_grad():'",
    ),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype, "give tensors a dtype"),
    "torch's number of threads": (
        torch.get_num_threads,
        torch.set_num_threads,
        "leave it to OMP_NUM_THREADS",
    ),
}
"""What it is -> how it is read, how it is set, and what to do instead."""


@contextmanager
def torch_undisturbed() -> Iterator[None]:
    """Whatever the body changes of it is as before. Raises RuntimeError that says what, and what to do."""
    before = {what: read() for what, (read, _, _) in SHARED.items()}
    try:
        yield
    except RuntimeError as error:  # it may have been changed into what can't be computed
        if told := _changed_back(before):
            raise RuntimeError(told) from error
        raise
    except BaseException:
        _changed_back(before)
        raise
    if told := _changed_back(before):
        raise RuntimeError(told)


def _changed_back(before: dict[str, Any]) -> str:
    """Sets all to what it was; says what was changed."""
    told = []
    for what, (read, change, remedy) in SHARED.items():
        if read() != before[what]:
            change(before[what])
            told.append(f"its code changes {what} for everybody: {remedy}")
    return "; ".join(told)
