"""What a config may name, with a line on each."""

import pytest

from clearctl.config.registry import Registry
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.listing import KINDS, MEANINGS, list_names, summary


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_has_a_line_without_markup(kind: str) -> None:
    found = list_names(kind)
    assert found
    assert list(found) == sorted(KINDS[kind].classes, key=str.lower)
    for name, what in found.items():
        assert 3 < len(what) < 130, (name, what)
        assert "\n" not in what
        assert "http" not in what
        assert not what.endswith(("backbone", ".", ":"))


def test_what_configs_are_refused_is_left_out() -> None:
    for kind, registry in KINDS.items():
        assert not set(registry.refused or {}) & set(list_names(kind))
    assert "AR1" in CATALOGUE.strategies.refused


def test_each_of_our_lines_is_of_a_name_that_there_is() -> None:
    names = {name for registry in KINDS.values() for name in registry.classes}
    assert set(MEANINGS) <= names


def test_the_first_sentence_of_a_docstring() -> None:
    def factory() -> None:
        """Based on `"A Method: Part 1" <https://x.org/1.2>`_, with :class:`~a.B`. If it is a tensor, no.

        More.
        """

    assert summary(factory) == 'Based on "A Method: Part 1", with `a.B`'


def test_kinds_are_of_the_catalogue() -> None:
    assert all(isinstance(registry, Registry) for registry in KINDS.values())
    assert {"strategies", "plugins", "backbones", "metrics", "transforms"} == set(KINDS)
