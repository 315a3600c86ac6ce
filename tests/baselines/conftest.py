"""Fixtures for baselines: a tiny context, and what forward takes."""

from types import SimpleNamespace

import pytest

from benchmark import Context
from tests.baselines.tiny import PROGRESS, TINY_PAIRS, tiny_batch


@pytest.fixture
def context() -> Context:
    """That of the unlike pair."""
    return TINY_PAIRS["unlike"].context


@pytest.fixture
def tiny() -> SimpleNamespace:
    """What forward takes: teacher(), student() and batch(), built anew at each call, and `progress`."""
    pair = TINY_PAIRS["unlike"]
    return SimpleNamespace(teacher=pair.teacher, student=pair.student, batch=tiny_batch, progress=PROGRESS)
