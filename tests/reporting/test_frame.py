"""Records as read from disk, and the tidy frame that is made of them."""

import json
import subprocess
import sys

import pandas as pd

from benchmark.records import plain, read_record, sealed
from benchmark.reporting import history_frame, load_records, tidy_frame
from benchmark.reporting.frame import typed_frame
from tests.reporting.fake_records import all_records, altered, make_record, schema_1, write_run


def test_importing_the_report_needs_neither_torch_nor_a_plugin():
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError('torch is blocked')\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "import benchmark.reporting\n"
        "from benchmark.reporting import frame, statistics, rows, panels, figures\n"
        "from benchmark.reporting.tables import task_tables, render\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'tasks', 'baselines', 'torchmetrics'}, loaded\n"
        "assert 'benchmark.contracts' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_damaged_records_are_named_and_cost_nothing_else(results):
    records, problems = load_records(results)
    assert {record.id for record in records} == {record.id for record in all_records()}
    assert len(problems) == 4
    for name in ("half-written-11111111", "empty-22222222", "binary-33333333", "no-run-part-44444444"):
        assert sum(name in problem for problem in problems) == 1


def test_every_kind_of_invalid_record_is_a_problem_and_no_exception(tmp_path):
    good = plain(make_record())
    first = schema_1(make_record())
    broken = {
        "list": [],
        "schema": {**good, "schema": 4},
        "no-schema": {key: value for key, value in good.items() if key != "schema"},
        "kind": {**good, "kind": "teacher"},
        "status": {**good, "status": "fine"},
        "role": {**good, "about": {**good["about"], "role": "hero"}},
        "seed": {**good, "run": {k: v for k, v in good["run"].items() if k != "seed"}},
        "negative": {**good, "run": {**good["run"], "seed": -1}},
        "results": {**good, "results": None},
        "text": {**good, "results": {"scores": {"test@last": {"top1": "0.6"}}}},
        "untested": {**good, "results": {}},
        "metric": {**good, "metrics": {"top1": "accuracy"}},
        "first-without-results": {**first, "results": None},
        "first-without-about": {key: value for key, value in first.items() if key != "about"},
    }
    for name, record in broken.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        content = sealed(record) if isinstance(record, dict) and record.get("schema") == 3 else record
        (tmp_path / "runs" / name / "record.json").write_text(json.dumps(content))
    records, problems = load_records(tmp_path)
    assert records == []
    assert sorted(problem.split(":")[0] for problem in problems) == sorted(broken)
    assert all("record.json" in problem and str(tmp_path) not in problem for problem in problems)


def test_a_copied_run_folder_is_counted_once_and_named(tmp_path):
    path = write_run(tmp_path, make_record())
    copy = path.with_name("zz-copy")
    copy.mkdir()
    (copy / "record.json").write_text((path / "record.json").read_text())
    records, problems = load_records(tmp_path)
    assert [record.folder for record in records] == [path.name]
    assert "zz-copy" in problems[0]


def test_the_frame_has_one_row_per_run_with_the_raw_numbers(results):
    records, _ = load_records(results)
    frame = tidy_frame(records)
    assert len(frame) == len(records) == frame["id"].nunique()
    for record in records:
        row = frame[frame["id"] == record.id].iloc[0]
        assert row["baseline"] == record.run.baseline
        assert row["label_fraction"] == record.condition.label_fraction
        assert row["commit"] == record.provenance.commit
        if record.status == "finished":
            assert row["test@last/top1"] == record.results.scores["test@last"]["top1"]
            assert row["teacher/test/top1"] == record.teacher.test["top1"]
        else:
            assert pd.isna(row["test@last/top1"])
            assert row["reason"] == record.reason


def test_the_frame_survives_parquet_and_csv_even_with_mixed_types(tmp_path):
    records = [make_record(seed=0), make_record(seed=1), make_record(seed=2, train_samples=500)]
    frame = tidy_frame(records)
    assert frame["train_samples"].dropna().tolist() == [500]
    frame["precision"] = typed_frame([{"precision": value} for value in ("16", 16, 32.5)])["precision"]
    parquet, csv = tmp_path / "records.parquet", tmp_path / "records.csv"
    frame.to_parquet(parquet, index=False)
    frame.to_csv(csv, index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), frame, check_dtype=False)
    assert pd.read_csv(csv)["test@last/top1"].tolist() == frame["test@last/top1"].tolist()
    assert set(frame["precision"]) == {"16", "32.5"}


def test_the_frame_does_not_depend_on_the_order_of_the_records():
    records = all_records()
    pd.testing.assert_frame_equal(tidy_frame(records), tidy_frame(records[::-1])[tidy_frame(records).columns])


def test_history_keeps_the_last_of_repeated_epochs_and_names_broken_lines(tmp_path):
    path = write_run(tmp_path, make_record(epochs=2))
    with (path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 1, "train": {"loss": 9.0}}\n{"epoch": 2, "tr')
    records, _ = load_records(tmp_path)
    frame, problems = history_frame(tmp_path, records)
    assert frame["epoch"].tolist() == [0, 1]
    assert frame["train/loss"].tolist()[1] == 9.0
    assert len(problems) == 1
    assert path.name in problems[0]
    assert "line 3" in problems[0] or "line 4" in problems[0]


def test_a_record_of_the_first_schema_is_read_like_its_present_form(tmp_path):
    overrides = {"temperature": 2.0, "weight": 1e-05, "recipe.milestones": [0.5, 0.75]}
    overrides |= {"recipe.nesterov": False, "recipe.schedule": "steps", "teacher_recipe.epochs": 9}
    record = altered(
        make_record("crd+kd", 3, overrides=overrides, train_samples=500, task="cross_modal"),
        measurements={"latency_ms": 1.5, "first_stages_s": 0.0},
        results={
            "probes": {"own": {"linear": 0.5}},
            "untrained_probes": {"own": {"linear": 0.2}},
            "scores": {**make_record().results.scores},
        },
        teacher={"probes": {"own": {"linear": 0.8}}},
    )
    for number, each in enumerate((record, make_record("fsp", 0, "not_applicable", reason="no"))):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(schema_1(each)))
        assert read_record(file) == each
        pd.testing.assert_frame_equal(tidy_frame([read_record(file)]), tidy_frame([each]))
    assert tidy_frame([record])["overrides"][0] == (
        "temperature=2.0 weight=1e-05 recipe.milestones=(0.5, 0.75) recipe.nesterov=False"
        " recipe.schedule=steps teacher_recipe.epochs=9"
    )


def test_the_frame_has_the_columns_that_readers_of_it_know():
    record = altered(
        make_record(),
        results={"probes": {"own": {"linear": 0.5}}, "untrained_probes": {"own": {"linear": 0.2}}},
        measurements={"latency_ms": 1.5},
    )
    names = (
        "task dataset pair baseline seed fold split_seed validation label_fraction train_samples"
        " teacher_data teacher_samples teacher_seed epochs updates batch_size teacher_epochs"
        " teacher_checkpoint precision batch_parts tuning overrides"
        " status reason task_title dataset_title baseline_title role paper arxiv anchor companion order"
        " synthetic num_classes num_train num_labelled num_validation num_test num_teacher teacher student"
        " teacher_modalities student_modalities teacher/test/top1 teacher/test/top5 parameters macs"
        " teacher_parameters teacher_macs validation@last/top1 test@last/top1 test@last/top5"
        " test@last/agreement test@last/kl_to_teacher best_epoch test@best_validation/top1"
        " test@best_validation/top5 test@best_validation/agreement test@best_validation/kl_to_teacher"
        " probes/own/linear untrained/probes/own/linear hyperparameters step_ms teacher_share_ms"
        " data_share_ms latency_ms peak_memory_mb cohort_size fused graphed folded total_s commit clean"
        " device device_name threads ranks command finished teacher_id teacher_checksum data_fingerprint"
        " code_checksum id folder row comparison block"
    )
    assert tidy_frame([record]).columns.tolist() == names.split()
