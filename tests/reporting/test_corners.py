"""The corners of a report: damaged files, odd records, full disks. Each costs its own, and is named."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmark import writing
from benchmark.errors import UserError
from benchmark.records import CHECKSUM, plain, sealed
from benchmark.reporting import compare, load_records, report
from benchmark.reporting.comparisons import with_bootstrap
from benchmark.reporting.figures import correlations, diagnostics, embedding_maps, save_figures
from benchmark.reporting.output import write
from benchmark.reporting.page import write_page
from benchmark.reporting.results import Results
from benchmark.reporting.tables.pair_tables import pair_tables, wide_frame
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.render import save_tables, to_text
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import altered, arrays_of, make_record, schema_1, write_run


def with_arrays(folder: Path, names=("scratch", "kd"), seeds=2, **changes) -> list[Path]:
    """Runs with arrays; returns their folders, the first run's first."""
    paths = []
    for name in names:
        for seed in range(seeds):
            record = make_record(name, seed)
            paths.append(write_run(folder, record))
            np.savez_compressed(paths[-1] / "arrays.npz", **{**arrays_of(record), **changes})
    return paths


def said(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=120)
    report(folder, console)
    return console.file.getvalue()


# --- damaged arrays ---


def damaged(how: str, content: bytes) -> bytes:
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "text": b"not an archive",
        "flipped": content[:200] + bytes(byte ^ 0x55 for byte in content[200:260]) + content[260:],
        "method": content.replace(b"PK\x01\x02", b"PK\x01\x02", 1)[:8] + b"\x63\x00" + content[10:],
        "encrypted": _flagged(content),
        "zeros": bytes(len(content)),
    }[how]


def _flagged(content: bytes) -> bytes:
    """Every member's flag for encryption set, in its own header and in the archive's list of them."""
    changed = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(mark)
        while place >= 0:
            changed[place + offset] |= 1
            place = changed.find(mark, place + 4)
    return bytes(changed)


@pytest.mark.parametrize("how", ["empty", "cut", "text", "flipped", "method", "encrypted", "zeros"])
def test_a_damaged_arrays_file_costs_its_run_alone_and_is_named(tmp_path, how):
    first, *_ = with_arrays(tmp_path)
    path = first / "arrays.npz"
    path.write_bytes(damaged(how, path.read_bytes()))
    results = Results.read(tmp_path)
    for kind in (correlations, embedding_maps, diagnostics):
        assert list(kind.drawings(results)) or kind is diagnostics
    if how != "method":  # that one is read around: the list at the end of an archive is what counts
        assert [problem.partition(":")[0] for problem in results.problems] == [first.name]
        assert "arrays.npz can't be read" in results.problems[0]
    text = " ".join(map(to_text, task_tables(results)))
    assert "Scratch" in text


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    first, *_ = with_arrays(tmp_path)
    np.savez(first / "arrays.npz", test_embedding=np.array([{"a": 1}], dtype=object))
    results = Results.read(tmp_path)
    list(embedding_maps.drawings(results))
    assert len(results.problems) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"test_embedding": np.zeros((40, 12), np.float16)},
        {"test_embedding": np.full((40, 12), 3.0, np.float16)},
        {"test_embedding": np.full((40, 12), np.nan, np.float16)},
        {"test_embedding": np.zeros((40, 0), np.float16)},
        {"test_embedding": np.ones(40, np.float16)},
        {"test_embedding": np.tile(np.float16([[1, 2]]), (40, 1)), "test_label": np.zeros(40, np.int16)},
        {"test_label": np.zeros(3, np.int16)},
        {"test_label": np.zeros(40, np.int16)},
        {"test_class_correlation": np.ones((1, 1), np.float16), "teacher_class_correlation": np.ones((1, 1))},
        {"test_class_correlation": np.full((6, 6), np.nan, np.float16)},
        {"test_class_correlation": np.zeros(0), "teacher_class_correlation": np.zeros(0)},
        {"diagnostics.plan": np.zeros((0, 0)), "diagnostics.cost": np.full((3, 3), np.inf)},
        {"diagnostics.plan": np.zeros((4, 4)), "diagnostics_first.plan": np.ones((2, 3))},
    ],
)
def test_arrays_of_any_shape_and_value_end_in_pictures_or_reasons(tmp_path, changes):
    with_arrays(tmp_path, **changes)
    results = Results.read(tmp_path)
    drawings = [
        each for kind in (correlations, embedding_maps, diagnostics) for each in kind.drawings(results)
    ]
    for drawing in drawings:
        if drawing.draw is not None:
            drawing.draw()
    assert not results.problems


def test_a_collapsed_student_is_named_and_its_mates_are_mapped(tmp_path):
    # In a process of its own: what once went wrong here was a signal.
    paths = with_arrays(tmp_path, names=("scratch", "kd", "crd"), seeds=1)
    for path, value in zip(paths[1:], (0.0, 1e-4), strict=True):
        arrays = dict(np.load(path / "arrays.npz"))
        shape = arrays["test_embedding"].shape
        noise = np.random.default_rng(0).normal(size=shape) * value
        arrays["test_embedding"] = (1.0 + noise).astype(np.float32)
        np.savez(path / "arrays.npz", **arrays)
    code = (
        "import sys; from pathlib import Path\n"
        "from benchmark.reporting.figures import embedding_maps\n"
        "from benchmark.reporting.results import Results\n"
        "(drawing,) = embedding_maps.drawings(Results.read(Path(sys.argv[1])))\n"
        "figure = drawing.draw()\n"
        "print([axes.get_title() for axes in figure.axes], drawing.caption)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "['teacher', 'Scratch']" in done.stdout
    assert "Collapsed, so not mapped: KD, CRD." in done.stdout


# --- odd records ---


ODD = [[], {}, "x", 10**40, -1, 1.5, True, [1], {"a": {"b": [1]}}, "$\\frac{$", "\ud800", None]


def places(value, path=()):
    for key, each in value.items():
        yield (*path, key)
        if isinstance(each, dict):
            yield from places(each, (*path, key))


def replaced(content: dict, path: tuple, value) -> dict:
    content = json.loads(json.dumps(content))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


@pytest.mark.slow
@pytest.mark.parametrize("form", [plain, schema_1])
def test_a_record_with_any_odd_value_is_named_or_reported(tmp_path, form):
    good = [make_record(name, seed) for name in ("scratch", "crd") for seed in range(2)]
    for record in good:
        write_run(tmp_path, record)
    probed = {"probes": {"own": {"linear": 0.5}}, "untrained_probes": {"own": {"linear": 0.2}}}
    content = form(altered(make_record("kd", 0), results=probed, recipe={"learning_rate": 0.1}))
    file = tmp_path / "runs" / "odd" / "record.json"
    file.parent.mkdir()
    named = reported = 0
    for path in list(places(content)):
        for value in ODD[sum(map(len, path)) % 12 :: 12]:  # one of the values at each place
            odd = replaced(content, path, value)
            # As if it had been written like this: what was altered later is named whatever it is.
            file.write_text(json.dumps(sealed(odd) if form is plain and path != (CHECKSUM,) else odd))
            records, problems = load_records(tmp_path)
            if len(records) == len(good):
                named += 1
                assert any(problem.startswith("odd: ") for problem in problems), path
                continue
            reported += 1
            results = Results.of(records)
            for table in (*task_tables(results), *pair_tables(results), *probe_tables(results)):
                to_text(table)
            compare(records)
    assert named > 15
    assert reported > 15


def test_a_seed_of_forty_digits_and_provenance_of_another_type_are_named(tmp_path):
    write_run(tmp_path, make_record())
    for name, path, value in (
        ("seed", ("run", "seed"), 10**40),
        ("split", ("condition", "split_seed"), 10**40),
        ("list", ("provenance",), []),
        ("letter", ("about", "dataset_title"), "half \ud800"),
    ):
        folder = tmp_path / "runs" / name
        folder.mkdir()
        odd = replaced(plain(make_record("crd", 1)), path, value)
        (folder / "record.json").write_text(json.dumps(sealed(odd)))
    records, problems = load_records(tmp_path)
    assert len(records) == 1
    assert sorted(problem.partition(":")[0] for problem in problems) == ["letter", "list", "seed", "split"]


def test_odd_history_costs_its_lines(tmp_path):
    path = write_run(tmp_path, make_record(epochs=2))
    with (path / "history.jsonl").open("a") as file:
        for line in (
            "[]",
            "3",
            '{"epoch": 1e400}',
            '{"epoch": -1}',
            '{"epoch": "x"}',
            "[" * 5000,
            '{"train": 1}',
        ):
            file.write(f"{line}\n")
        file.write('{"epoch": 7, "train": {"loss": "text", "other": [1]}}\n')
    results = Results.read(tmp_path)
    assert len(results.problems) == 7
    assert results.history["epoch"].tolist() == [0, 1, 7]


def test_a_title_is_text_and_no_formula(tmp_path):
    title = "$\\frac{$ ${"
    for name in ("scratch", "kd"):
        for seed in range(3):
            about = {"baseline_title": f"{name} {title}", "dataset_title": title, "task_title": title}
            write_run(tmp_path, altered(make_record(name, seed), about=about))
    results = Results.read(tmp_path)
    saved = save_figures(results, tmp_path / "figures")
    assert not results.problems
    assert sum(bool(each.paths) for each in saved) >= 4


def test_one_class_one_seed_and_one_baseline_are_reported(tmp_path):
    record = altered(make_record("kd", 0), about={"num_classes": 1})
    arrays = arrays_of(record, classes=1)
    np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays)
    text = said(tmp_path)
    assert "KD" in text
    assert "problem" not in text


def test_a_figure_that_cannot_be_drawn_costs_no_other_and_is_named(tmp_path, monkeypatch):
    with_arrays(tmp_path)
    monkeypatch.setattr(correlations, "correlation_figure", lambda *_: 1 / 0)
    text = said(tmp_path)
    assert "problem: figure compression_class_correlation_1: could not be drawn (ZeroDivisionError" in text
    assert (tmp_path / "figures" / "compression_comparison.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert "could not be drawn (ZeroDivisionError" in page


# --- data, teachers and temperatures that changed between two commands ---


def test_data_that_changed_between_two_commands_is_never_mixed(tmp_path):
    changed = {"data_fingerprint": "823fa01c9d"}
    for seed in range(3):
        write_run(tmp_path, make_record("kd", seed))
        other = altered(make_record("scratch", seed, provenance=changed), teacher={"id": "of other data"})
        other.teacher.test["top1"] = 0.2
        write_run(tmp_path, other)
    text = said(tmp_path)
    assert "against Scratch" not in (tmp_path / "report.html").read_text()
    assert len(compare(tmp_path)) == 0
    assert "data 823fa01c" in text
    (table,) = task_tables(Results.read(tmp_path))
    teachers = table.frame[table.frame.row == "teacher"]
    assert sorted(teachers["test@last/top1/mean"]) == pytest.approx([20, 70.5])


def test_teachers_of_two_thread_counts_are_two_and_so_are_their_students(tmp_path):
    for threads, checksum in ((1, "aaaaaaaa11"), (2, "bbbbbbbb22")):
        for name in ("scratch", "kd"):
            record = make_record(name, threads, provenance={"threads": threads})
            write_run(tmp_path, altered(record, teacher={"checksum": checksum}))
    (table,) = task_tables(Results.read(tmp_path))
    assert len(table.frame[table.frame.baseline == "kd"]) == 2
    assert len(table.frame[table.frame.row == "teacher"]) == 2
    assert "teacher's weights aaaaaaaa" in to_text(table)
    assert "mix numbers of threads: 1, 2" in " ".join(table.caption)


def test_lines_of_the_table_by_pairs_are_told_apart():
    records = [make_record("scratch", seed) for seed in range(3)]
    records += [
        make_record(
            "kd", seed, hyperparameters={"temperature": t}, overrides={"temperature": t} if t != 4 else {}
        )
        for seed in range(3)
        for t in (1, 4, 9)
    ]
    (table,) = pair_tables(Results.of(records))
    shown = [tuple(column.cell(row) for column in table.columns[:2]) for row in table.blocks[0].rows]
    assert len(set(shown)) == len(shown) == 5
    frame = wide_frame(records)
    names = ["title", "overrides", "differs_in"]
    assert not frame[frame["row"] == "student"][names].duplicated().any()
    twice = records[:3] + [
        make_record("scratch", s, provenance={"data_fingerprint": "other"}) for s in range(3)
    ]
    frame = wide_frame(twice)
    assert not frame[frame["row"] == "student"][["title", "differs_in"]].duplicated().any()


# --- where it is written ---


def test_a_full_disk_leaves_the_former_report_as_it_was(tmp_path, monkeypatch):
    for name in ("scratch", "kd"):
        write_run(tmp_path, make_record(name, 0))
    said(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(UserError, match=r"can't be written \(No space left on device\): make room"):
        report(tmp_path, Console(file=io.StringIO()))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_can_not_be_written_is_one_line(tmp_path):
    write_run(tmp_path, make_record())
    (tmp_path / "tables").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"tables can't be written \(File exists\)"):
        report(tmp_path, Console(file=io.StringIO()))
    (tmp_path / "records.csv").unlink()
    (tmp_path / "records.csv").mkdir()
    with pytest.raises(UserError, match=r"records\.csv can't be written"):
        report(tmp_path, Console(file=io.StringIO()))


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = write(tmp_path / "a.txt", "±\n")
    assert path.read_text(encoding="utf-8") == "±\n"
    with pytest.raises(UserError):
        write(tmp_path / "missing" / "a.txt", "text")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_predictions_of_other_shapes_give_no_bootstrap(tmp_path):
    with_arrays(tmp_path, seeds=3, test_prediction=np.zeros((40, 2), np.int16))
    results = Results.read(tmp_path)
    frame = compare(results)
    assert frame["bootstrap_low"].isna().all()
    assert with_bootstrap(results, []) == []


def test_tables_and_page_of_records_alone_need_no_folder(tmp_path):
    results = Results.of([make_record(name, seed) for name in ("scratch", "kd") for seed in range(2)])
    tables = task_tables(results)
    save_tables(tables, tmp_path / "tables")
    assert write_page(results, tables, [], tmp_path / "report.html").exists()
