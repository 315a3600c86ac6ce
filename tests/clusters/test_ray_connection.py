"""What every node of a Ray cluster is given; needs no Ray."""

from __future__ import annotations

from pathlib import Path

from benchmark.clusters.ray_cluster import _for_tasks
from benchmark.clusters.ray_connection import _ship
from benchmark.settings import Settings


def test_plugins_of_one_name_both_stand_where_tasks_look_for_them(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a/method.py", "b/method.py", "b/other.py")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# {file}")
    node = tmp_path / "node"
    node.mkdir()
    given = Settings(plugin=(*files, files[0]))
    _ship(given, node)
    found = _for_tasks(given).plugin
    assert [(node / each).read_text() for each in found] == [f"# {file}" for file in files]
    assert [each.name for each in found] == ["method.py", "method.py", "other.py"]
    assert found[2] == Path("other.py")
