"""Every registered baseline's terms are what slow, independent maths gives."""

import pytest
import torch

import tests.baselines.references  # noqa: F401  registers them
from tests.baselines.references.registry import REFERENCES, SEED, TOLERANCES, case_of
from tests.baselines.test_every_baseline import all_terms
from tests.baselines.tiny import EVERY_CASE, NAMES, built_or_skipped


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_has_independent_maths(name):
    assert name in REFERENCES, (
        f"write the terms of {name} in slow NumPy, registered with @reference({name!r}), "
        "into a module of tests/baselines/references/"
    )


@EVERY_CASE
def test_terms_are_those_of_independent_maths(name, pair):
    if name not in REFERENCES:
        pytest.skip("no independent maths yet")
    expected = REFERENCES[name](case_of(name, pair))
    distiller = built_or_skipped(name, pair)
    torch.manual_seed(SEED)
    terms = all_terms(distiller, pair.teacher(), pair.student())
    assert terms.keys() == expected.keys()
    for term, value in terms.items():
        assert value.item() == pytest.approx(expected[term], rel=TOLERANCES[name], abs=1e-6), term
