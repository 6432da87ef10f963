"""`clearctl list`."""

import json

import pytest
from typer.testing import CliRunner, Result

from clearctl.cli import app
from clearctl.cli.list import CONFIGS, KINDS
from clearctl.config import shipped
from clearctl.engine.build import listing


def clearctl(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_kinds_are_those_of_the_library_and_configs() -> None:
    assert set(KINDS) == {*listing.KINDS, CONFIGS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_for_each(kind: str) -> None:
    answer = json.loads(clearctl("list", kind, "--json").stdout)
    assert answer["kind"] == kind
    lines = clearctl("list", kind).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [named["name"] for named in answer["names"]]
    assert all(named["what"] for named in answer["names"])
    assert [line.partition("  ")[2].strip() for line in lines] == [named["what"] for named in answer["names"]]
    if kind == CONFIGS:
        assert [named["name"] for named in answer["names"]] == shipped.names()


def test_a_kind_there_is_not() -> None:
    answer = clearctl("list", "strategy")
    assert answer.exit_code == 2
    assert "list strategy: expected strategies, plugins," in answer.stderr
    assert "did you mean 'strategies'?" in answer.stderr


def test_timms_models_are_listed_by_a_pattern() -> None:
    pytest.importorskip("timm")
    assert any(line.startswith("timm:NAME ") for line in clearctl("list", "backbones").stdout.splitlines())
    (line,) = clearctl("list", "backbones", "timm:RESNET1?").stdout.splitlines()
    assert line.split()[:2] == ["timm:resnet18", "weights"]
    assert "a1_in1k" in line
    answer = json.loads(clearctl("list", "backbones", "res2*", "--json").stdout)
    assert [named["name"] for named in answer["names"]] == ["Res2Net"]


def test_a_pattern_that_nothing_matches() -> None:
    answer = clearctl("list", "strategies", "nave")
    assert answer.exit_code == 2
    assert "list strategies: no name matches 'nave'" in answer.stderr
