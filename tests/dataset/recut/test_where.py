"""Conditions over fields: what holds, what is refused and where, and that a hostile one is only refused."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl.dataset.recut.fields import Field, MissingValue, RecordKey
from clearctl.dataset.recut.where import MAX_DEPTH, MAX_LENGTH, parse_where
from clearctl.errors import DatasetError, UsageError

RECORDS = [
    {"n": "9", "d": "2007-12-31 23:59:59.0", "t": "a beach", "flag": True, "bucket": 1, "m": 1},
    {"n": "10", "d": "2008-01-01 00:00:00.0", "t": "Beach", "flag": False, "bucket": 2, "m": "2"},
    {"n": "-1.5", "d": "2008-05-31 10:00:00.0", "t": "7", "flag": False, "bucket": 3, "m": 3.0},
]


def bind(text: str, records=RECORDS):
    where = parse_where(text)
    fields = {name: Field(name) for name in where.fields}
    for number, record in enumerate(records):
        for name, field in fields.items():
            field.note(record.get(name), RecordKey("1", "camera", str(number)))
    where.require_known({name for record in records for name in record})
    return where.bind(fields)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("n > 9", "010"),
        ("n > '9'", "010"),
        ("9 < n", "010"),
        ("n == 9.0", "100"),
        ("n < -1", "001"),
        ("n >= -1.5", "111"),
        ("n <= +9", "101"),
        ("-2 < n <= 9 < 10", "101"),
        ("N != 10", "101"),
        ("n in [9, '10']", "110"),
        ("n in (9,)", "100"),
        ("n not in {9, 10}", "001"),
        ("n in []", "000"),
        ("n == m", "000"),
        ("n > m", "110"),
        ("m in [1, 3]", "101"),
        ("d < '2008'", "100"),
        ("d >= '2008'", "011"),
        ("d == '2008'", "010"),
        ("'2008' <= d < '2008-05-31'", "010"),
        ("d < '2008-05'", "110"),
        ("d > '2008-05-31T09:59:59Z'", "001"),
        ("d in ['2008-01-01', '2008-05-31 10:00']", "011"),
        ("t == 'Beach'", "010"),
        ("t < 'a'", "011"),
        ("t == '7'", "001"),
        ("'each' in t", "110"),
        ("'beach' not in t", "011"),
        ("t in 'the Beach 77'", "011"),
        ("t in ['Beach', '7']", "011"),
        ("flag", "100"),
        ("not flag", "011"),
        ("flag == False", "011"),
        ("flag in [True]", "100"),
        ("flag == True and n == 9", "100"),
        ("bucket != 2", "101"),
        ("bucket > 1 or flag", "111"),
        ("bucket > 1 and flag or n == 10", "010"),
        ("not bucket > 1 and flag", "100"),
        ("not (bucket > 1 and n == 10)", "101"),
        ("True", "111"),
        ("not True", "000"),
        ("1 < 2", "111"),
        ("'b' in 'abc'", "111"),
        ("t != None", "111"),
        ("None == t", "000"),
        (" \n n\n == 9 ", "100"),
    ],
)
def test_conditions(text, holds):
    condition = bind(text)
    assert "".join(str(int(condition(record))) for record in RECORDS) == holds


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("len(t) > 3", 1, "len(t) is a call"),
        ("n > 1 and __import__('os').system('id')", 11, "__import__('os').system('id') is a call"),
        ("t.upper == 'A'", 1, "t.upper is an attribute"),
        ("t[0] == 'A'", 1, "t[0] is a subscript"),
        ("n + 1 > 2", 1, "n + 1 is arithmetic"),
        ("n > 10 ** 9", 5, "10 ** 9 is arithmetic"),
        ("n > -m", 5, "-m is not allowed"),
        ("n > - -1", 5, "- -1 is not allowed"),
        ("n > -True", 5, "-True is arithmetic"),
        ("n > ~1", 5, "~1 is not allowed"),
        ("n is None", 1, "n is None has `is`: write =="),
        ("n is not None", 1, "`is not`: write !="),
        ("n if t else m", 1, "is an if"),
        ("lambda: n", 1, "is a lambda"),
        ("(n := 3) > 2", 2, "is an assignment"),
        ("f'{n}' == '3'", 1, "is an f-string"),
        ("n in [m, 3]", 7, "m is a field; a list"),
        ("n in [1, [2]]", 10, "[2] is a list"),
        ("n in [1, n + 1]", 10, "n + 1 is arithmetic"),
        ("n in [x for x in t]", 6, "is not allowed"),
        ("n == [9]", 6, "[9] is a list"),
        ("[9] == n", 1, "[9] is a list"),
        ("{'a': 1} == n", 1, "{'a': 1} is not allowed"),
        ("n == 1j", 6, "1j is not allowed"),
        ("n == ...", 6, "... is not allowed"),
        ("t == b'a'", 6, "b'a' is not allowed"),
        ("(n == 9) == True", 2, "n == 9 is not allowed"),
        ("n, t", 1, "n, t is not allowed"),
        ("5", 1, "5 is not a condition"),
        ("'Ä' in t and len(t)", 14, "len(t) is a call"),
    ],
)
def test_what_is_refused_is_named_with_its_column(text, column, what):
    with pytest.raises(UsageError) as error:
        parse_where(text)
    first, second = str(error.value).split("\n")
    assert first.startswith(f"--where, column {column}: ")
    assert what in first
    assert second.startswith("allowed are fields, bucket, class_name, numbers, 'text'")


@pytest.mark.parametrize(
    ("text", "column"),
    [("n = 3", 3), ("n >", 4), ("n > 3 AND flag", 7), ("class == 'a'", 1), ("n > 3; m", 6), ("'abc", 1), ("n n", None)],
)
def test_what_is_no_expression(text, column):
    """What Python calls it, and for some which column, depends on its version."""
    with pytest.raises(UsageError) as error:
        parse_where(text)
    first, second = str(error.value).split("\n")
    assert first.startswith(f"--where, column {column}: " if column else "--where, column ")
    assert second.startswith("allowed are fields")


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("n > 'many'", "column 5: 'many' is compared with numbers: write a number"),
        ("n == True", "True is compared with numbers"),
        ("d > 2008", "column 5: 2008 is compared with dates: write '2008', '2008-05' or"),
        ("d > 'soon'", "'soon' is compared with dates"),
        ("d in ['2008', 'soon']", "column 15: 'soon' is compared with dates"),
        ("t == 7", "column 6: 7 is compared with text: write text, in quotes"),
        ("t in ['a', None]", "None is compared with text"),
        ("flag == 1", "1 is compared with true or false: write True or False"),
        ("flag == 'True'", "'True' is compared with true or false"),
        ("n", "column 1: n is numbers: compare it with something"),
        ("not t", "column 5: t is text"),
        ("n == t", "t holds text, which do not compare with numbers"),
        ("d < n", "n holds numbers, which do not compare with dates"),
        ("'1' in n", "n holds numbers: `in` looks into a list or into text"),
        ("n in t", "column 1: n holds numbers, which do not compare with text"),
        ("n in 5", "5 holds numbers: `in` looks into"),
        ("n < None", "None is for == and != with a field"),
        ("None == None", "None is for == and !="),
        ("n in None", "None is for == and !="),
        ("1 < 'a'", "1 is compared with text"),
        ("nn > 3", "column 1: no record has the field 'nn'"),
        ("n > 3 and buckt == 1", "column 11: no record has the field 'buckt'; did you mean 'bucket'?"),
    ],
)
def test_comparisons_that_make_no_sense(text, reported):
    with pytest.raises(UsageError) as error:
        bind(text)
    assert reported in str(error.value)
    assert str(error.value).count("\n") <= 1


def test_an_order_of_text_that_is_mostly_numbers_is_refused():
    records = [{"views": "9"}, {"views": "10"}, {"views": "many"}]
    assert not bind("views == '9'", records)(records[2])
    with pytest.raises(DatasetError, match=r"views is a number in quotes in 2 of 3 records"):
        bind("views > '9'", records)


def test_values_that_do_not_go_together():
    with pytest.raises(DatasetError, match="views mixes values"):
        bind("views == 1", [{"views": 9}, {"views": "many"}])


SPARSE = [{"t": "a", "n": None}, {"t": "", "n": "3"}, {"n": 4}, {"t": "a", "n": 5}]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("t == 'a'", "1??1"),
        ("t != None", "1001"),
        ("t == None", "0110"),
        ("t != None and t == 'a'", "1001"),
        ("t == None or t == 'b'", "0110"),
        ("n == 3 or t == 'a'", "?1?1"),
        ("t == 'a' or n == 3", "1??1"),
        ("not n > 3", "?100"),
        ("2 < n < 4", "?100"),
        ("4 < 3 < n", "0000"),
        ("n in []", "?000"),
        ("'a' in t", "1??1"),
        ("empty > 3", "????"),
        ("empty == None", "1111"),
        ("empty", "????"),
        ("empty in [1, 'a']", "????"),
        ("empty == n", "????"),
        ("empty < '2008' or empty in t", "????"),
    ],
)
def test_a_missing_value_counts_where_it_is_needed(text, outcome):
    records = [{**record, "empty": "null"} for record in SPARSE]
    condition = bind(text, records)

    def reported(record) -> str:
        try:
            return str(int(condition(record)))
        except MissingValue:
            return "?"

    assert "".join(map(reported, records)) == outcome


# The same expressions run by Python itself, over values of Python's own.


class Absent:
    """A missing value: equal to None, and whoever needs it otherwise is reported so."""

    def _needed(self, *_):
        raise MissingValue("absent")

    def __eq__(self, other):
        return True if other is None else self._needed()

    def __ne__(self, other):
        return False if other is None else self._needed()

    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _needed
    __hash__ = None


NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 2.0])
DATES = st.builds("20{:02d}-{:02d}-01 0{}:00:00.0".format, st.integers(4, 6), st.integers(1, 3), st.integers(0, 2))
TEXTS = st.sampled_from(["a", "ab", "b a", "Ä", "it's", 'say "a"', "a\\b"])
ORDERS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def comparisons(name: str, literals) -> st.SearchStrategy[str]:
    literal = literals.map(repr)
    lists = st.lists(literal, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{} {} {}".format, st.just(name), ORDERS, literal),
        st.builds("{} {} {}".format, literal, ORDERS, st.just(name)),
        st.builds("{} {} {} {} {}".format, literal, ORDERS, st.just(name), ORDERS, literal),
        st.builds("{} {} [{}]".format, st.just(name), st.sampled_from(["in", "not in"]), lists),
        st.builds("{} {} None".format, st.just(name), st.sampled_from(["==", "!="])),
    )


CONDITIONS = st.recursive(
    st.one_of(
        comparisons("n", NUMBERS),
        comparisons("d", DATES),
        comparisons("t", TEXTS),
        st.builds("{} {} t".format, TEXTS.map(repr), st.sampled_from(["in", "not in"])),
        st.sampled_from(["flag", "flag == False", "True", "False"]),
    ),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({})".format, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=8,
)
FIELDS = {"n": NUMBERS, "d": DATES, "t": TEXTS, "flag": st.booleans()}
LACKING = {name: st.one_of(st.none(), values, values, values) for name, values in FIELDS.items()}


@settings(max_examples=200, deadline=None)
@given(
    text=CONDITIONS, records=st.lists(st.fixed_dictionaries(LACKING), max_size=3), whole=st.fixed_dictionaries(FIELDS)
)
def test_python_agrees(text, records, whole):
    def outcome(condition, record):
        try:
            return bool(condition(record))
        except MissingValue:
            return "missing"

    records = [whole, *records]
    spelled = [{**record, "n": None if record["n"] is None else str(record["n"])} for record in records]
    condition = bind(text, spelled)
    code = compile(text, "where", "eval")
    for record, strings in zip(records, spelled, strict=True):
        values = {name: Absent() if value is None else value for name, value in record.items()}
        # Python itself is the independent interpreter here, of text that this test made.
        expected = outcome(lambda values: eval(code, {"__builtins__": {}}, values), values)
        assert outcome(condition, strings) == expected


HOSTILE = {
    "brackets": "(" * 50_000,
    "list": "n in " + "[" * 50_000,
    "not": "not " * 20_000 + "flag",
    "shallower not": "not " * 500 + "flag",
    "minus": "n > " + "-" * 50_000 + "1",
    "attributes": "n" + ".a" * 40_000,
    "calls": "n" + "()" * 40_000,
    "sum": "n > 1" + " + 1" * 20_000,
    "power": "n > 9" + "**9" * 20_000,
    "lambda": "lambda:" * 10_000 + "n",
    "digits": "n > " + "9" * 50_000,
    "text": "t == '" + "a" * 99_000,
    "too long": "n > 1" + " " * MAX_LENGTH + "or n > 2",
    "nul": "n > 1\0",
    "half a character": "t == '\ud800'",
    "ifs": "n if n else " * 5_000 + "n",
    "f-strings": "f'{" * 1000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_is_only_refused(name):
    with pytest.raises(UsageError) as error:
        parse_where(HOSTILE[name])
    assert str(error.value).count("\n") <= 1
    assert len(str(error.value)) < 600


def test_depth_and_length_that_are_taken():
    assert bind("not " * (MAX_DEPTH - 1) + "flag")(RECORDS[0]) is False
    assert bind(" or ".join(["n == 9"] * 5000))(RECORDS[0]) is True
    assert bind("n in [" + "9, " * 20_000 + "]")(RECORDS[0]) is True


def test_nothing_is_run_and_nothing_is_said(capfd):
    """Python warns of `is` with a literal and of odd escapes; that is advice on programs."""
    program = "from clearctl.dataset.recut.where import parse_where; parse_where(r\"t == '\\d'\")"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_empty(text):
    with pytest.raises(UsageError, match="--where is empty"):
        parse_where(text)
