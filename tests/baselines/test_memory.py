"""The memory bank: which negatives are drawn, how often, and how its rows move."""

import copy
import io

import pytest
import torch
from scipy.stats import chi2
from torch.nn import functional as F

from baselines import _memory
from baselines._contrast import nce_loss
from baselines._memory import MemoryBank, last_occurrence
from benchmark import NotApplicable
from benchmark.contracts import IGNORE

LABELS = torch.tensor([0, 1, 2, IGNORE, 0, 0, IGNORE, 1, 2, 2, 0, IGNORE, 1, 0, IGNORE, 2, 0, 1])


def bank_of(labels=LABELS, negatives=8, **options) -> MemoryBank:
    torch.manual_seed(0)
    return MemoryBank(labels, 6, negatives=negatives, momentum=0.5, **options)


def admissible(labels: torch.Tensor, anchor: int, negatives_from: str) -> set[int]:
    """What an anchor may be contrasted with, by the definition."""
    known = negatives_from == "other_classes" and labels[anchor] != IGNORE
    return {i for i in range(len(labels)) if i != anchor and not (known and labels[i] == labels[anchor])}


@pytest.mark.parametrize("negatives_from", ["other_classes", "other_samples"])
@pytest.mark.parametrize("negatives", [1, 5, 16384])
def test_negatives_are_distinct_admissible_rows(negatives_from, negatives):
    memory = bank_of(negatives=negatives, negatives_from=negatives_from)
    index = torch.arange(len(LABELS))
    for _ in range(50):
        rows = memory.draw(index)
        assert rows.dtype == torch.int64
        assert torch.equal(rows[:, 0], index)
        for anchor, drawn in zip(index.tolist(), rows[:, 1:].tolist(), strict=True):
            assert len(set(drawn)) == len(drawn) == memory.num_negatives
            assert set(drawn) <= admissible(LABELS, anchor, negatives_from)


def test_the_number_of_negatives_is_clipped_to_the_fewest_that_an_anchor_has():
    assert bank_of(negatives=16384).num_negatives == len(LABELS) - 6  # class 0 has six known rows
    assert bank_of(negatives=16384, negatives_from="other_samples").num_negatives == len(LABELS) - 1
    assert bank_of(negatives=3).num_negatives == 3


def test_a_bank_without_negatives_is_not_applicable():
    with pytest.raises(NotApplicable, match="one class"):
        bank_of(torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize("negatives_from", ["other_classes", "other_samples"])
@pytest.mark.parametrize("negatives", [4, 11])
def test_negatives_are_uniform_over_the_admissible_rows(negatives_from, negatives):
    memory = bank_of(negatives=negatives, negatives_from=negatives_from)
    index = torch.arange(len(LABELS))
    draws = 3000
    counts = torch.zeros(len(LABELS), len(LABELS))
    for _ in range(draws):
        rows = memory.draw(index)[:, 1:]
        counts.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.float32))
    for anchor in index.tolist():
        allowed = sorted(admissible(LABELS, anchor, negatives_from))
        expected = draws * memory.num_negatives / len(allowed)
        # Without replacement the counts vary less than Poisson ones by 1 - M/A; A - 1 degrees of freedom.
        variance = expected * (1 - memory.num_negatives / len(allowed)) * len(allowed) / (len(allowed) - 1)
        if variance > 0:
            statistic = ((counts[anchor, allowed] - expected) ** 2).sum().item() / variance
            assert statistic < chi2.ppf(1 - 1e-4, len(allowed) - 1)
        else:
            assert (counts[anchor, allowed] == expected).all()


@pytest.mark.parametrize("negatives_from", ["other_classes", "other_samples"])
def test_pairs_of_rows_come_up_together_as_in_independent_draws(negatives_from):
    memory = bank_of(negatives=4, negatives_from=negatives_from)
    first, second = 3, 6  # both without a label: 17 admissible rows each
    draws = 4000
    together = torch.zeros(len(LABELS), len(LABELS))
    for _ in range(draws):
        rows = memory.draw(torch.tensor([first, second]))[:, 1:]
        together[rows[0][:, None], rows[1]] += 1
    expected = draws * (4 / 17) ** 2
    mask = torch.ones_like(together, dtype=torch.bool)
    mask[first], mask[:, second] = False, False
    deviation = (together[mask] - expected) / (expected * (1 - (4 / 17) ** 2)) ** 0.5
    assert deviation.abs().max() < 5
    assert 0.7 < deviation.square().mean() < 1.3


def test_draws_follow_torchs_global_state():
    memory = bank_of()
    torch.manual_seed(3)
    first = memory.draw(torch.arange(4))
    torch.manual_seed(3)
    assert torch.equal(first, memory.draw(torch.arange(4)))
    assert not torch.equal(first, memory.draw(torch.arange(4)))


def test_both_ways_of_scoring_agree_in_value_and_gradient():
    memory = bank_of(torch.arange(200) % 5, negatives=16)
    anchors = torch.randn(4, 6)
    rows = memory.draw(torch.arange(4))
    results = []
    for batch in (1, 4):  # one anchor has fewer rows than the bank, so its vectors are gathered
        leaf = anchors.clone().requires_grad_()
        scores = torch.cat(
            [memory.scores(leaf[i : i + batch], "teacher", rows[i : i + batch]) for i in range(0, 4, batch)]
        )
        scores.square().sum().backward()
        results.append((scores.detach(), leaf.grad))
    every = memory.scores(anchors.repeat(10, 1), "teacher", rows.repeat(10, 1))  # the whole bank at once
    for scores, gradient in results:
        torch.testing.assert_close(scores, every[:4])
        torch.testing.assert_close(scores, torch.einsum("bd,bmd->bm", anchors, memory.teacher[rows]))
        expected = torch.einsum("bm,bmd->bd", 2 * scores, memory.teacher[rows])
        torch.testing.assert_close(gradient, expected)


def test_the_gradient_is_of_the_rows_as_they_were_scored():
    memory = bank_of(negatives=16384)
    index = torch.arange(6)
    rows = memory.draw(index)
    anchors = torch.randn(6, 6, requires_grad=True)
    before = memory.teacher.clone()
    scores = memory.scores(anchors, "teacher", rows)
    memory.update(index, torch.randn(6, 6), torch.randn(6, 6), normalize=False)
    scores.sum().backward()
    torch.testing.assert_close(anchors.grad, before[rows].sum(1))


@pytest.mark.parametrize("normalize", [True, False])
def test_rows_move_by_momentum_and_only_those_of_the_batch(normalize):
    memory = bank_of()
    before = memory.student.clone(), memory.teacher.clone()
    index = torch.tensor([4, 0, 9])
    values = torch.randn(2, 3, 6)
    memory.update(index, *values, normalize=normalize)
    for after, old, value in zip((memory.student, memory.teacher), before, values, strict=True):
        expected = old.clone()
        expected[index] = 0.5 * old[index] + 0.5 * value
        if normalize:
            expected[index] = F.normalize(expected[index], dim=1)
        torch.testing.assert_close(after, expected)


def test_nothing_moves_in_eval_mode():
    memory = bank_of().eval()
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    memory.normalizer("student", torch.randn(3, 9))
    memory.update(torch.tensor([1]), torch.randn(1, 6), torch.randn(1, 6), normalize=True)
    for name, value in memory.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_normalizer_is_set_once_and_outside_any_graph():
    memory = bank_of()
    scores = torch.randn(3, 9, requires_grad=True)
    first = memory.normalizer("student", scores)
    torch.testing.assert_close(first, len(LABELS) * scores.detach().exp().mean())
    assert torch.equal(memory.normalizer("student", scores + 1), first)
    assert not memory.student_normalizer.requires_grad
    assert memory.teacher_normalizer == 0


TWICE = torch.tensor([4, 0, 9, 4, 0, 4, 7])


def test_the_last_occurrence_of_an_index_is_found():
    assert last_occurrence(TWICE).tolist() == [5, 4, 2, 5, 4, 5, 6]
    assert last_occurrence(torch.tensor([3, 1, 2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("normalize", [True, False])
def test_of_a_sample_that_is_in_the_batch_twice_the_last_one_counts(normalize):
    memory = bank_of()
    values = torch.randn(2, 7, 6)
    expected = memory.student.clone(), memory.teacher.clone()
    before = [each.clone() for each in expected]
    for bank, old, value in zip(expected, before, values, strict=True):
        for place, row in enumerate(TWICE.tolist()):  # one after the other, each from the old row
            moved = 0.5 * old[row] + 0.5 * value[place]
            bank[row] = F.normalize(moved, dim=0) if normalize else moved
    memory.update(TWICE, *values, normalize=normalize)
    torch.testing.assert_close(memory.student, expected[0])
    torch.testing.assert_close(memory.teacher, expected[1])


@pytest.mark.parametrize("index", [TWICE, torch.tensor([4, 0, 9, 1, 3, 5, 7])], ids=["twice", "once"])
def test_rows_do_not_depend_on_the_order_in_which_a_device_writes_them(index, monkeypatch):
    values = torch.randn(2, 7, 6)
    plain = torch.Tensor.index_copy_
    found = []
    for order in (torch.arange(7), torch.arange(6, -1, -1), torch.tensor([3, 5, 0, 6, 1, 2, 4])):
        monkeypatch.setattr(
            torch.Tensor,
            "index_copy_",
            lambda bank, axis, rows, source, order=order: plain(bank, axis, rows[order], source[order]),
        )
        memory = bank_of()
        memory.update(index, *values, normalize=True)
        found.append((memory.student, memory.teacher))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


LARGE = torch.arange(1_281_167) % 1000
"""As many labels and classes as ImageNet's."""


@pytest.mark.parametrize(
    ("labels", "dtype", "size"),
    [(LARGE[:50_000] % 10, torch.float32, 51_200_000), (LARGE, torch.float16, 655_957_504)],
    ids=["CIFAR", "ImageNet"],
)
def test_both_banks_take_what_their_docstring_says(labels, dtype, size):
    with torch.device("meta"):
        memory = MemoryBank(labels, 128, negatives=16384, momentum=0.5)
    assert memory.student.dtype == memory.teacher.dtype == dtype
    assert memory.student.nbytes + memory.teacher.nbytes == size


def test_rows_are_in_float16_where_float32_would_exceed_the_budget():
    needed = 2 * len(LABELS) * 6 * 4
    for budget, dtype in ((needed, torch.float32), (needed - 1, torch.float16)):
        memory = bank_of(budget=budget)
        memory.update(torch.arange(4), *torch.randn(2, 4, 6), normalize=True)
        assert memory.student.dtype == memory.teacher.dtype == dtype
        assert (
            memory.scores(torch.randn(4, 6), "teacher", memory.draw(torch.arange(4))).dtype == torch.float32
        )


def losses_of(memory: MemoryBank) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of thirty steps on random embeddings, and the gradients of the last step's."""
    draw = torch.Generator().manual_seed(4)
    weight = torch.randn(6, 6, generator=draw).requires_grad_()
    losses = []
    torch.manual_seed(5)
    for _ in range(30):
        index = torch.randperm(len(memory.order), generator=draw)[:8]
        embedded = F.normalize(torch.randn(8, 6, generator=draw) @ weight, dim=1)
        scores = memory.scores(embedded, "teacher", memory.draw(index))
        normalizer = memory.normalizer("student", scores / 0.2)
        losses.append(nce_loss(scores, normalizer, len(memory.order), 0.2, 1e-7))
        memory.update(index, embedded, embedded, normalize=True)
        (gradient,) = torch.autograd.grad(losses[-1], weight)
    return torch.stack(losses).detach(), gradient


@pytest.mark.parametrize("negatives", [2, 16384], ids=["rows gathered", "the whole bank"])
def test_the_losses_of_float16_rows_are_near_those_of_float32(negatives):
    labels = torch.arange(60) % 5
    half, single = (losses_of(bank_of(labels, negatives, budget=budget)) for budget in (0, 2**30))
    for ours, theirs in zip(half, single, strict=True):
        assert not torch.equal(ours, theirs)
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("negatives", [2, 16384], ids=["rows gathered", "the whole bank"])
def test_scores_in_pieces_are_those_at_once(negatives, monkeypatch):
    labels = torch.arange(60) % 5
    once = losses_of(bank_of(labels, negatives))
    monkeypatch.setattr(_memory, "PIECE", 1)
    for ours, theirs in zip(losses_of(bank_of(labels, negatives)), once, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("budget", [0, 2**30], ids=["float16", "float32"])
@pytest.mark.parametrize("negatives", [2, 16384], ids=["rows gathered", "the whole bank"])
def test_a_bank_is_written_in_place(negatives, budget):
    memory = bank_of(torch.arange(60) % 5, negatives, budget=budget)
    places = memory.student.data_ptr(), memory.teacher.data_ptr()
    before = memory.student.clone()
    losses_of(memory)
    assert (memory.bank("student").data_ptr(), memory.bank("teacher").data_ptr()) == places
    assert not torch.equal(memory.student, before)


@pytest.mark.parametrize("budget", [0, 2**30], ids=["float16", "float32"])
@pytest.mark.parametrize("negatives", [2, 16384], ids=["rows gathered", "the whole bank"])
def test_two_passes_before_a_backward_one_have_the_gradients_of_their_own_rows(negatives, budget):
    memory = bank_of(torch.arange(60) % 5, negatives, budget=budget)
    index = torch.arange(6)
    anchors = [torch.randn(6, 6, requires_grad=True) for _ in range(2)]
    expected, total = [], torch.zeros(())
    for each in anchors:
        rows = memory.draw(index)
        total = total + memory.scores(each, "teacher", rows).sum()
        expected.append(memory.teacher.clone()[rows].float().sum(1))
        memory.update(index, torch.randn(6, 6), torch.randn(6, 6), normalize=False)
    total.backward()
    assert not torch.equal(memory.bank("teacher")[0].float(), memory.teacher[1].float())
    for each, gradient in zip(anchors, expected, strict=True):
        torch.testing.assert_close(each.grad, gradient)


@pytest.mark.parametrize("copied", ["state", "pickle", "deepcopy", "moved"])
@pytest.mark.parametrize("budget", [0, 2**30], ids=["float16", "float32"])
def test_what_is_kept_of_a_bank_has_the_last_update_even_before_its_backward_pass(budget, copied):
    memory, fresh, updated = (bank_of(budget=budget) for _ in range(3))
    index, values = torch.arange(6), torch.randn(2, 6, 6)
    updated.update(index, *values, normalize=True)
    scores = memory.scores(torch.randn(6, 6, requires_grad=True), "teacher", memory.draw(index))
    memory.update(index, *values, normalize=True)
    assert scores.requires_grad
    if copied == "state":
        torch.save(memory.state_dict(), kept := io.BytesIO())
        fresh.load_state_dict(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    elif copied == "pickle":
        torch.save(memory, kept := io.BytesIO())
        fresh = torch.load(io.BytesIO(kept.getvalue()), weights_only=False)
    else:
        fresh = copy.deepcopy(memory) if copied == "deepcopy" else memory.to("cpu")
    for side in ("student", "teacher"):
        assert torch.equal(fresh.bank(side), updated.bank(side))


def test_a_state_that_is_loaded_is_not_written_over_by_an_update_before_it():
    memory, other = bank_of(), bank_of(torch.arange(len(LABELS)))
    index = torch.arange(6)
    scores = memory.scores(torch.randn(6, 6, requires_grad=True), "teacher", memory.draw(index))
    memory.update(index, torch.randn(6, 6), torch.randn(6, 6), normalize=True)
    scores.sum().backward()
    memory.load_state_dict(other.state_dict())
    assert torch.equal(memory.bank("student"), other.bank("student"))
