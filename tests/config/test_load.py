"""Configs in mmcv's dialect: merging, `--set`, where each value came from, and configs that cannot be read."""

import gc
import os
import sys
from pathlib import Path

import pytest

from clearctl.config.load import Config, dump, flatten, load
from clearctl.errors import ConfigError


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`write(name, text)` writes a config into the working directory and returns its path, relative to that."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, text: str) -> Path:
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return make


def fault(file: Path | str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    assert caught.value.exit_code == 3
    return str(caught.value)


# Merging


def test_bases_nested_and_relative_to_the_file_that_names_them(write) -> None:
    write("shared/deep/root.py", "a = 1\nsection = dict(x=1, y=dict(z=1, w=1))\n")
    write("shared/middle.py", "_base_ = 'deep/root.py'\nb = 2\nsection = dict(y=dict(w=2))\n")
    write("other.py", "c = [1, 2, 3]\n")
    file = write(
        "mine/top.py", "_base_ = ['../shared/middle.py', '../other.py']\na = 3\nsection = dict(x=3)\nc = [4]\n"
    )
    config = load(file)
    assert config.values == {"a": 3, "b": 2, "c": [4], "section": {"x": 3, "y": {"z": 1, "w": 2}}}
    assert config.file == "mine/top.py"


def test_delete_replaces_a_section_instead_of_merging(write) -> None:
    write("base.py", "optimizer = dict(type='SGD', lr=0.1, momentum=0.9)\n")
    file = write("top.py", "_base_ = 'base.py'\noptimizer = dict(_delete_=True, type='Adam', lr=0.2)\n")
    assert load(file).values == {"optimizer": {"type": "Adam", "lr": 0.2}}


def test_config_is_python(write) -> None:
    file = write(
        "top.py",
        "from pathlib import Path\nimport math\nfrom math import floor\n"
        "def double(x):\n    return 2 * x\n"
        "name = 'r50'\nbatch = 64\n"
        "work_dir = f'./runs/{name}'\nlr = double(0.01) * batch / 64\nwhere = Path('a') / 'b'\n"
        "steps = [dict(type='ToTensor') for _ in range(2)]\n",
    )
    assert load(file).values == {
        "name": "r50",
        "batch": 64,
        "work_dir": "./runs/r50",
        "lr": 0.02,
        "where": "a/b",
        "steps": [{"type": "ToTensor"}] * 2,
    }


def test_numpy_values_become_plain(write) -> None:
    file = write(
        "top.py",
        "import numpy as np\na = np.float32(0.5)\nb = np.arange(3)\nc=dict(n=np.int64(3), t=(np.float64(1.5), 'x'))\n",
    )
    values = load(file).values
    assert values == {"a": 0.5, "b": [0, 1, 2], "c": {"n": 3, "t": (1.5, "x")}}
    found = [values["a"], *values["b"], values["c"]["n"], values["c"]["t"][0]]
    assert [type(value) for value in found] == [float, int, int, int, int, float]
    assert type(values["c"]) is dict  # not mmcv's ConfigDict


def test_variables_of_a_base_can_be_named(write) -> None:
    write("base.py", "size = 32\n")
    assert load(write("top.py", "_base_ = 'base.py'\ncrop = {{_base_.size}}\n")).values == {"size": 32, "crop": 32}


def test_reading_leaves_the_interpreter_as_it_was(write) -> None:
    path, directory = list(sys.path), Path.cwd()
    load(write("good.py", "a = 1\n"))
    fault(write("bad.py", "a = 1 / 0\n"))
    assert sys.path == path
    assert Path.cwd() == directory


# --set


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("True", True),
        ("None", None),
        ("'3'", "3"),
        ("[1, 'a']", [1, "a"]),
        ("{'type': 'SGD', 'lr': 0.5}", {"type": "SGD", "lr": 0.5}),
        ("(1, 2)", (1, 2)),
        ("streaming", "streaming"),
        ("a b=c", "a b=c"),
        ("/data/with space", "/data/with space"),
        ("", ""),
        ("{[]: 1}", "{[]: 1}"),
        ("1 +", "1 +"),
        ("x" * 3 + "\0", "xxx\0"),
        ("(" * 300, "(" * 300),
    ],
)
def test_set_takes_literals_and_else_strings(text: str, value: object, write) -> None:
    found = load(write("top.py", "a = 1\n"), [f"a={text}"]).values["a"]
    assert found == value
    assert type(found) is type(value)


def test_set_reaches_into_sections_and_lists_in_order(write) -> None:
    file = write("top.py", "s = dict(t=[dict(type='A'), dict(type='B')], n=1)\n")
    config = load(file, ["s.t.1.p=0.5", "s.new.deep=1", "s.n=2", "s.n=3", " s.t.0 = 7"])
    assert config.values == {"s": {"t": [7, {"type": "B", "p": 0.5}], "n": 3, "new": {"deep": 1}}}


def test_set_never_runs_code(write, tmp_path: Path) -> None:
    text = f"__import__('os').system('touch {tmp_path}/ran')"
    assert load(write("top.py", "a = 1\n"), [f"a={text}"]).values["a"] == text
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a", "--set a: expected KEY=VALUE, such as cl_strategy.train_epochs=1"),
        ("=1", "--set =1: expected KEY=VALUE, such as cl_strategy.train_epochs=1"),
        ("a.b=1", "--set a.b=1: a is 1, which has no keys"),
        ("s.t.2=1", "--set s.t.2=1: s.t is a list of 2: expected an index 0 to 1, found '2'"),
        ("s.t.-1=1", "--set s.t.-1=1: s.t is a list of 2: expected an index 0 to 1, found '-1'"),
        ("s.t.x.y=1", "--set s.t.x.y=1: s.t is a list of 2: expected an index 0 to 1, found 'x'"),
    ],
)
def test_set_that_cannot_be_applied(override: str, message: str, write) -> None:
    assert fault(write("top.py", "a = 1\ns = dict(t=[1, 2])\n"), override) == message


# Where a value came from


def test_origin_is_the_file_that_gave_the_value(write) -> None:
    write("root.py", "a = 1\ns = dict(x=1, y=dict(z=1))\nt = [dict(type='A', p=1)]\n")
    write("middle.py", "_base_ = 'root.py'\nb = 2\ns = dict(y=dict(w=2))\n")
    config = load(write("top.py", "_base_ = 'middle.py'\na = 3\ns = dict(x=3)\n"), ["t.0.p=5"])
    keys = ("a", "b", "s.x", "s.y.z", "s.y.w", "t.0.type", "t.0.p", "none", "a.b", "t.0", "s.y", "s.y.absent")
    found = {key: config.origin(key) for key in keys}
    assert found == {
        "a": "top.py",
        "b": "middle.py",
        "s.x": "top.py",
        "s.y.z": "root.py",
        "s.y.w": "middle.py",
        "t.0.type": "root.py",
        "t.0.p": "--set",
        "none": "top.py",
        "a.b": "top.py",
        "t.0": "root.py",  # where its type is
        "s.y": "root.py",  # where its first value is
        "s.y.absent": "root.py",
    }


def test_a_list_is_of_the_file_that_changes_it(write) -> None:
    write("base.py", "steps = [dict(type='A', size=1), dict(type='B')]\nother = [1, dict(x=2)]\n")
    file = write("top.py", "_base_ = 'base.py'\nsteps = [dict(type='A', size=1), dict(type='C')]\n")
    origins = load(file).origins
    assert {origins[key] for key in ("steps.0.type", "steps.0.size", "steps.1.type")} == {"top.py"}
    assert {origins[key] for key in ("other.0", "other.1.x")} == {"base.py"}


def test_set_of_a_section_forgets_the_origins_of_what_was_in_it(write) -> None:
    config = load(write("top.py", "s = dict(x=1, y=2)\n"), ["s={'x': 5}"])
    assert config.origins == {"s.x": "--set"}


@pytest.mark.parametrize("base", ["'ba' + 'se.py'", "[f'{name}.py']"])
def test_computed_base_is_read_too(base: str, write) -> None:
    write("base.py", "a = 1\n")
    config = load(write("top.py", f"name = 'base'\n_base_ = {base}\nb = 2\n"))
    assert config.values == {"a": 1, "b": 2, "name": "base"}


def test_json_base(write) -> None:
    write("base.json", '{"a": true}')
    assert load(write("top.py", "_base_ = 'base.json'\nb = 2\n")).values == {"a": True, "b": 2}


# Configs that cannot be read


def test_missing_file(write, tmp_path: Path) -> None:
    expected = "expected a Python file, or the name of a shipped config: `clearctl config list` lists them"
    assert fault("none.py") == f"none.py: no such config file\n{expected}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\n\nb = 1 / 0\n", "top.py, line 3: raises ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('a\\nb')\nf()\n", "top.py, line 3: raises ValueError: a b"),
        ("a = 1\nb = (\n", "top.py, line 2: raises SyntaxError: '(' was never closed"),
        ("import no_such_module\n", None),
        ("a = 1\nopen('absent.txt')\n", None),
    ],
)
def test_config_that_raises_is_one_line_with_file_and_line(text: str, message: str | None, write) -> None:
    found = fault(write("top.py", text))
    if message is None:
        number = 2 if "open" in text else 1
        assert found.startswith(f"top.py, line {number}: raises ")
        assert ("absent.txt" if "open" in text else "no_such_module") in found
    else:
        assert found == message
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nraise ValueError('no')\n", "shared/base.py, line 3: raises ValueError: no"),
        ("a = 1\nb = = 2\n", "shared/base.py, line 2: raises SyntaxError: invalid syntax"),
    ],
)
def test_fault_of_a_base_names_the_base(text: str, message: str, write) -> None:
    write("shared/base.py", text)
    write("middle.py", "_base_ = 'shared/base.py'\n")
    assert fault(write("top.py", "a = 1\n_base_ = 'middle.py'\n")) == message


def test_missing_base_names_both_files(write) -> None:
    assert fault(write("top.py", "_base_ = 'none.py'\n")) == "top.py: a file named in _base_ is missing: none.py"
    write("shared/middle.py", "_base_ = '../none.py'\n")
    found = fault(write("other.py", "_base_ = 'shared/middle.py'\n"))
    assert found == "shared/middle.py: a file named in _base_ is missing: none.py"


@pytest.mark.parametrize(
    ("base", "meant"),
    [
        ("../_base_/naiv.py", "../_base_/naive.py"),
        ("_base_/naive.py", "../_base_/naive.py"),
        ("../base/naive.py", "../_base_/naive.py"),
        ("naive.py", "../_base_/naive.py"),
        ("mines.py", None),  # not the file that names it
    ],
)
def test_missing_base_names_a_file_nearby(base: str, meant: str | None, write) -> None:
    write("configs/_base_/naive.py", "a = 1\n")
    file = write("configs/mine/mine.py", f"_base_ = ['../_base_/naive.py', {base!r}]\n")
    missing = os.path.normpath(f"configs/mine/{base}")
    hint = f"; did you mean {meant!r}?" if meant else ""
    assert fault(file) == f"configs/mine/mine.py: a file named in _base_ is missing: {missing}{hint}"


def test_missing_file_names_a_file_nearby(write) -> None:
    write("configs/quickstart.py", "a = 1\n")
    for missing in ("quickstart.py", "configs/quick_start.py"):
        first = fault(missing).split("\n")[0]
        assert first == f"{missing}: no such config file; did you mean 'configs/quickstart.py'?"


def test_fault_leaves_nothing_to_be_reported_at_exit(write, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(str(unraisable.exc_value)))
    fault(write("bad.py", "a = 1 / 0\n"))
    gc.collect()
    assert reported == []  # Python would print "Exception ignored in ..." and a traceback


# Writing


def test_dump_reads_back_as_the_same_values(write) -> None:
    values = {
        "name": 'it\'s "quoted" \\ and\nlong ' * 20,
        "numbers": [1, -2.5, 1e-30, 0.1 + 0.2, float("inf"), -float("inf"), 10**30],
        "tuple": (1,),
        "nested": {"b": {"a": [{"type": "X", "p": None, "far": float("inf")}] * 9}, "a": True, "empty": {}, "none": []},
        "unicode": "größe 日本",
    }
    again = load(write("again.py", dump(values))).values
    assert again == values
    assert list(again) == list(values)
    assert list(again["nested"]) == ["b", "a", "empty", "none"]  # the order is kept too
    assert dump(again) == dump(values)


def test_dump_of_a_merged_config_stands_alone(tiny_config: Path, write) -> None:
    name = os.path.relpath(tiny_config)
    merged = load(
        write("top.py", f"_base_ = {name!r}\nseed = 4\nfrom pathlib import Path\n"), ["model.head.num_classes=9"]
    )
    again = load(write("elsewhere/alone.py", dump(merged.values)))
    assert again.values == merged.values
    assert set(again.origins.values()) == {"elsewhere/alone.py"}


def test_flatten_lists_every_leaf() -> None:
    value = {"a": 1, "b": {"c": [2, {"d": 3}], "e": {}, "f": []}, "g": (4, 5)}
    assert list(flatten(value)) == [("a", 1), ("b.c.0", 2), ("b.c.1.d", 3), ("b.e", {}), ("b.f", []), ("g", (4, 5))]
    assert Config({}, "x.py").origin("a.b") == "x.py"


def test_a_value_that_is_no_literal_is_refused(tmp_path):
    (tmp_path / "config.py").write_text("import datetime\nmodel = dict(head=dict(when=datetime.date(2004, 1, 1)))\n")
    with pytest.raises(ConfigError, match=r"config.py: model.head.when: found datetime.date"):
        load(tmp_path / "config.py")


def test_a_config_that_exits_is_a_fault(tmp_path):
    (tmp_path / "config.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ConfigError, match=r"line 2: raises SystemExit"):
        load(tmp_path / "config.py")


def test_delete_with_nothing_to_delete_leaves_no_key(tmp_path):
    (tmp_path / "config.py").write_text("model = dict(head=dict(_delete_=True, a=1))\n")
    assert load(tmp_path / "config.py").values["model"] == {"head": {"a": 1}}


@pytest.mark.parametrize("base", ["3", "None", "''", "[1]", "['']", "{}"])
def test_a_base_that_is_no_path_is_refused(base: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"seed = 1\n_base_ = {base}\n")
    with pytest.raises(ConfigError, match=r"config.py, line 2: _base_: found .*, expected the path of a config"):
        load(tmp_path / "config.py")


@pytest.mark.parametrize("override", ["cl_strategy..lr=1", ".seed=1", "seed.=1", ".=1"])
def test_a_key_with_an_empty_part_is_refused(override: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("seed = 1\n")
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        load(tmp_path / "config.py", [override])
