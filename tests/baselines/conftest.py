"""Fixtures for baselines: one thread, a tiny context, and what forward takes."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from benchmark import Context
from tests.baselines.tiny import PROGRESS, TINY_PAIRS, tiny_batch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On tensors this small, waiting for a second thread takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def context() -> Context:
    """That of the unlike pair."""
    return TINY_PAIRS["unlike"].context


@pytest.fixture
def tiny() -> SimpleNamespace:
    """What forward takes: teacher(), student() and batch(), built anew at each call, and `progress`."""
    pair = TINY_PAIRS["unlike"]
    return SimpleNamespace(teacher=pair.teacher, student=pair.student, batch=tiny_batch, progress=PROGRESS)
