"""Values of `--set` and `--arch-arg`: literals, and what users of mmcv and Hydra write instead."""

import pytest

from clearctl.config.words import read_literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[" * 10_000, "[" * 10_000),
        ("true", True),
        ("False", False),
        ("null", None),
        ("none", "none"),
        ("[cat, dog]", ["cat", "dog"]),
        ("[cup-of-tea, 1-3, 'a b', 2, null]", ["cup-of-tea", "1-3", "a b", 2, None]),
        ("(é, x/y)", ("é", "x/y")),
        ("a,b", "a,b"),
        ("1-5,7", "1-5,7"),
        ("0.1,0.2", (0.1, 0.2)),
        ("dict(type='Adam', lr=0.1)", {"type": "Adam", "lr": 0.1}),
        ("[dict(type=Adam, betas=(0.9, 0.99))]", [{"type": "Adam", "betas": (0.9, 0.99)}]),
        ("{type: Adam, lr: 0.1}", {"type": "Adam", "lr": 0.1}),
        ("dict(1)", "dict(1)"),
        ("dict", "dict"),
        ("nan", "nan"),
        ("10**9", "10**9"),
    ],
)
def test_words_in_place_of_literals(text: str, value: object) -> None:
    found = read_literal(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["a={}", "[{}]", "({},)", "dict(b={})", "{{'b': {}}}", "[x for x in {}]"])
def test_nothing_is_run(text: str, tmp_path) -> None:
    code = f"__import__('os').system('touch {tmp_path}/ran')"
    assert code in str(read_literal(text.format(code))).replace('"', "")
    assert not (tmp_path / "ran").exists()
