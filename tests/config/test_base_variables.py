"""Base variables where mmcv would leave a placeholder are refused, in the config's own words."""

import re
from pathlib import Path

import pytest

from clearctl.config.load import load
from clearctl.errors import ConfigError

BASE = "name = 'Naive'\nn = 3\nsection = dict(a=1)\n"

MISPLACED = {
    "work_dir = 'runs/{{ _base_.name }}'": r"a string, 'runs/\{\{ _base_.name \}\}'",
    'work_dir = "runs/{{ _base_.name }}"': r"a string, 'runs/\{\{ _base_.name \}\}'",
    "work_dir = f'runs/{{ _base_.name }}'": "a string, f'runs/",
    "x = [dict(y='{{_base_.name}}/z')]": r"a string, '\{\{_base_.name\}\}/z'",
    "work_dir = 'runs/' + {{ _base_.name }}": r"an expression, 'runs/' \+ \{\{ _base_.name \}\}",
    "n = {{ _base_.n }} * 2": r"an expression, \{\{ _base_.n \}\} \* 2",
    "n = -{{ _base_.n }}": r"an expression, -\{\{ _base_.n \}\}",
    "n = 1 if {{ _base_.name }} == 'Naive' else 2": r"an expression, \{\{ _base_.name \}\} == 'Naive'",
    "n = len({{ _base_.name }})": r"an expression, len\(\{\{ _base_.name \}\}\)",
    "n = {{ _base_.section }}['a']": r"an expression, \{\{ _base_.section \}\}\['a'\]",
    "n = [x for x in {{ _base_.section }}]": "an expression, ",
}


@pytest.mark.parametrize("line", MISPLACED)
def test_a_base_variable_that_is_not_alone(line: str, tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    file = tmp_path / "config.py"
    file.write_text(f"_base_ = ['base.py']\nfirst = 1\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    first, second = str(caught.value).splitlines()
    assert re.match(rf"{file}, line 3: found a base variable in {MISPLACED[line]}", first)
    assert second.startswith("write it outside quotes")
    (tmp_path / "child.py").write_text("_base_ = ['config.py']\n")
    with pytest.raises(ConfigError, match=f"^{file}, line 3: found a base variable"):
        load(tmp_path / "child.py")


def test_a_base_variable_that_is_alone(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE)
    file = tmp_path / "config.py"
    file.write_text(
        "'''{{ _base_.name }} is for the type'''\n_base_ = ['base.py']  # as {{ _base_.n }}\n"
        "a = {{ _base_.name }}\nb = dict(x={{_base_.n}}, y=[1, {{ _base_.section }}])\n"
        "c = {'d': {{ _base_.section.a }}}\n"
    )
    values = load(file).values
    assert values["a"] == "Naive"
    assert values["b"] == {"x": 3, "y": [1, {"a": 1}]}
    assert values["c"] == {"d": 1}
