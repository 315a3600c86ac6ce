"""Material for the tests of malformed input: command lines, YAML, plugins and checkpoints,
drawn at random."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import torch
import yaml
from hypothesis import strategies as st

from benchmark.settings import Settings

NUMBERS = st.sampled_from(
    ["0", "-1", "1", "nan", "NaN", "inf", "-inf", "1e308", "1e999", "9" * 400, "9" * 5000, "-" + "9" * 400,
     "0x10", "1_0", "١٢", "1.5", "1e-320", "2147483648", "9223372036854775808", "", " ", "+3",
     "0" * 400 + "2"]
)  # fmt: skip
ODD = st.sampled_from(
    ["", " ", "\0", "\n", "a\nb", "\x1b[31m", "\udcff", "😀", "é" * 300, "a" * 3000, "../..", "/", ".",
     "..", "~",
     "/dev/null", "/dev/zero", "/proc/self/mem", "-", "--", "---tasks", "--=", "kd+", "+", "kd+kd",
     "kd++crd",
     "all", "all+kd", "[", "[z-a]", "*" * 200 + "a", "timm:", "timm", "timm:nope-timm:nope",
     "torchvision:-",
     "conv2d_8-", "-conv2d_8", "conv2d_8-conv2d_4", "tiny_big-tiny_small", "cuda:99", "\u202egnp.exe",
     "%s%n",
     "{0}", "$HOME", "'; DROP", "recipe.epochs=1", "NULL", "None", "yes"]
)  # fmt: skip
VALUES = NUMBERS | ODD | st.text(max_size=20) | st.integers().map(str) | st.floats().map(str)
FLAGS = sorted(set(Settings.__dataclass_fields__) - {"config", "plugin", "list", "report_only", "figures"})


LISTS = {name for name in FLAGS if str(Settings.__dataclass_fields__[name].type).startswith("tuple")}
SWITCHES = {name for name in FLAGS if isinstance(Settings.__dataclass_fields__[name].default, bool)}


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """One to three flags, most with as many values as they take."""
    words: list[str] = []
    for name in draw(st.lists(st.sampled_from(FLAGS), min_size=1, max_size=3)):
        spelt = "--" + (name if draw(st.booleans()) else name.replace("_", "-"))
        right = (1, 3) if name in LISTS else (0, 0) if name in SWITCHES else (1, 1)
        least, most = (0, 3) if draw(st.integers(0, 4)) == 0 else right
        values = draw(st.lists(VALUES, min_size=least, max_size=most))
        words += [f"{spelt}={values[0]}", *values[1:]] if values else [spelt]
    return words


KEYS = st.sampled_from([*Settings.__dataclass_fields__, "label-fraction", "<<", "", "no such", "tasks\n"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
    | st.binary(max_size=4)
    | st.sampled_from(["--list", "-x", "-1", "a\0b", "kd", "cuda", 10**400, -(10**30), "kd.temperature=2"])
)  # fmt: skip
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
RAW = st.sampled_from(
    ["&a [*a]", "a: &a {b: *a}", "epochs: *nothing", "epochs: 1\nepochs: 2",
     "label-fraction: 1\nlabel_fraction: 1",
     "!!python/object/apply:os.system ['false']", "epochs: !!python/name:os.system", "seeds: !!set {1, 2}",
     "epochs: !!int ''", "epochs: !!bool maybe", "epochs: !!timestamp x", "name: 2021-13-45", "epochs: 0b",
     "epochs: 0x" + "f" * 5000, "epochs: 1" + ":59" * 2000, "set: !!binary '*'", "--- 1\n--- 2", "\t",
     "%YAML 9.9\n---",
     "? [a, b]\n: 1", "? {a: b}\n: 1", "{[]: 1}", "[" * 100_000, "{a: " * 5000, "- " * 50_000,
     "? " * 5000, "a: " * 300,
     "!!omap [a: 1]", "\x00", "\ufeffepochs: 2", "epochs: \x07", "x: 'open", "a: b: c", "@", "`", "%",
     "&", "*", "!",
     "epochs: " + "9" * 10_000, "tasks: [" + "a, " * 20_000 + "]", "name: " + "n" * 100_000, "'" * 3000,
     "<<: [1]", "<<: {epochs: 3}", "set: {kd: {temperature: .nan}}", "set: {recipe: {learning_rate: .inf}}",
     "set: {kd: {weight: {deep: {er: 1}}}}", "set: [{kd.temperature: 2}]", "set: 3", "list: []",
     "report: 'no'"]
)  # fmt: skip


def written(content: Any) -> str:
    try:
        return yaml.dump(content, allow_unicode=True)
    except (yaml.YAMLError, UnicodeEncodeError):
        return repr(content)


YAML_TEXTS = RAW | st.dictionaries(KEYS, STRUCTURES, max_size=3).map(written) | st.text(max_size=60)


TARGETS = st.sampled_from(
    ["kd.temperature", "kd.nope", "recipe.learning_rate", "recipe.epochs", "recipe.milestones",
     "recipe.optimizer",
     "recipe.first_stage_rate", "teacher_recipe.momentum", "kd.own_recipe.warmup", "kd+crd.crd.temperature",
     "kd+crd.task_weight", "crd.negatives", "nope.x", "kd.own_recipe.", "kd.own_recipe.epochs", ".", "a",
     "recipe.",
     "kd+kd.x", "own_recipe.x", "recipe.nesterov", "recipe.schedule", "recipe.batch_size",
     "kd+crd.own_recipe.decay"]
)  # fmt: skip


def plugin(**changed: str) -> str:
    """The text of a plugin with some of its lines changed."""
    parts = {
        "before": "",
        "name": "'my_method'",
        "keywords": "title='My method'",
        "base": "(Distiller)",
        "body": "needs = frozenset({'logits'})",
        "signature": "self, context, *, weight: float = 2.0, task_weight: float = 1.0",
        "forward": "self, teacher, student, batch, progress",
        "after": "",
    } | changed
    return string.Template(
        "import typing\nfrom benchmark import Distiller, baseline\n$before\n"
        "@baseline($name, $keywords)\nclass MyMethod$base:\n    $body\n"
        "    def __init__($signature):\n        super().__init__(context, task_weight=task_weight)\n"
        "    def forward($forward):\n        return {}\n$after\n"
    ).substitute(parts)


CHANGES: dict[str, list[str]] = {
    "before": ["raise SystemExit(0)", "import sys; sys.exit()", "raise KeyboardInterrupt",
               "raise GeneratorExit",
               "raise BaseException('a\\nb')", "1/0", "import no_such_module", "def f(:", "x = (",
               "\tx = 1",
               "class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "raise UserError",
               "raise RuntimeError('x' * 100_000)", "raise RuntimeError('\\n\\n\\x1b[31m')", "\x00",
               "# \udcff",
               "x = " + "(" * 300 + ")" * 300, "x = " + "1+" * 5000 + "1", "raise MemoryError",
               "raise SystemExit('bye')",
               "def f(): f()\nf()", "raise __import__('benchmark').UserError('two\\nlines')", "é = 1"],
    "name": ["''", "'a+b'", "'../x'", "'a/b'", "'kd'", "'all'", "'recipe'", "'teacher_recipe'", "'-x'",
             "'x' * 500",
             "None", "3", "'a b'", "'a\\nb'", "'ünï'", "'\\udcff'", "[]", "b'x'", "'.'", "'a' 'b'"],
    "keywords": ["", "title=None", "title=3", "title=''", "title='x', role='nope'", "title='x', paper=5",
                 "title='x', companion='no'", "title='x', nope=1", "title='x\\ny'",
                 "title='x', anchor='yes'",
                 "title='x', arxiv=None", "title='[bold]x[/]'", "title='\\udcff'"],
    "base": ["", "(object)", "(int)", "(Distiller, Distiller)", "(3)", "(Exception)",
             "(typing.NamedTuple)"],
    "body": ["needs = 3", "needs = frozenset({'nope'})", "needs = frozenset({3, 'logits'})",
             "learns_from = 'nope'",
             "learns_from = []", "second_view = 'nope'", "in_composition = {'nope': 1}",
             "in_composition = 3",
             "preludes = 1", "pass", "needs = 'logits'", "__slots__ = ('x',)", "forward = None",
             "stage_shares = classmethod(lambda cls, own: 1/0)",
             "stage_shares = classmethod(lambda cls, own: None)",
             "stage_shares = classmethod(lambda cls, own: (float('nan'),))", "stage_shares = 3",
             "stage_shares = classmethod(lambda cls, own: (1e300,))",
             "stage_shares = classmethod(lambda cls, own: ('x',))"],
    "signature": ["self", "self, context", "self, context, weight", "self, *, weight=1", "*args, **kwargs",
                  "self, context, *, weight", "self, context, *, weight: 'Nope' = 1", "context", "",
                  "self, context, *, weight: typing.Optional[float] = None, task_weight: float = 1.0",
                  "self, context, *, weight: typing.Literal['a'] = 'a', task_weight: float = 1.0",
                  "self, context, *, weight: typing.Any = object(), task_weight: float = 1.0",
                  "self, context, *, weight: 5 = float('nan'), task_weight: float = 1.0",
                  "self, context, /, *, weight=None, task_weight: float = 1.0",
                  "self, context, context2, *, x=1"],
    "forward": ["self", "", "self, teacher", "self, teacher, student, batch, progress, more", "*args",
                "self, *, x"],
    "after": ["baseline('my_method', title='again')(MyMethod)", "baseline('x', title='x')(lambda: 0)",
              "del MyMethod",
              "baseline('fine', title='x')(MyMethod)", "raise SystemExit(3)", "MyMethod.needs = 1/0"],
}  # fmt: skip
SETS = ("", "my_method.weight=3", "my_method.weight=x", "my_method.weight=[1]", "my_method.nope=1")


TENSORS = st.sampled_from(
    [
        torch.tensor(float("nan")),
        torch.full((3, 3), float("inf")),
        torch.arange(3),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(3, device="meta"),
        torch.zeros(1).expand(10**9),
        torch.zeros(0),
        torch.zeros(2, dtype=torch.float16),
        torch.zeros(2, dtype=torch.bool),
        torch.zeros(2).to(torch.float8_e4m3fn),
    ]
)
ODD_VALUES = (
    st.none()
    | st.integers()
    | st.text(max_size=4)
    | TENSORS
    | st.just([])
    | st.just({"w": {}})
    | st.just(print)
)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[dict[str, Any]], Any]:
    """What may be done to a state dict before it is saved."""
    key = draw(st.integers(0, 30))
    value, wrapper = draw(ODD_VALUES), draw(st.sampled_from(["", "model", "state_dict", "net", "odd"]))
    kind = draw(st.sampled_from(["replace", "same shape", "add", "drop", "whole", "rename", "only"]))

    def change(weights: dict[str, Any]) -> Any:
        content: Any = dict(weights)
        name = list(content)[key % len(content)]
        if kind == "replace":
            content[name] = value
        elif kind == "same shape" and isinstance(value, torch.Tensor) and value.device.type == "cpu":
            try:
                content[name] = torch.zeros(content[name].shape, dtype=value.dtype)
                content[name].flatten()[:1] = value.flatten()[:1].item()
            except (RuntimeError, IndexError, TypeError):
                pass
        elif kind == "add":
            content[draw_name] = value
        elif kind == "drop":
            del content[name]
        elif kind == "rename":
            content[draw_name] = content.pop(name)
        elif kind == "only":
            content = {name: value}
        elif kind == "whole":
            content = value
        return {wrapper: content, "epoch": 3} if wrapper else content

    draw_name = draw(
        st.sampled_from(["", "a\nb", "\udcff", "x" * 2000]) | st.integers() | st.text(max_size=4)
    )
    return change
