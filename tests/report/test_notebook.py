import re

import numpy as np

from clearctl.report.notebook import matrix_html


def test_a_matrix_with_its_numbers() -> None:
    matrix = np.array([[0.9, 0.2], [0.5, 1.0]])
    html = matrix_html(matrix, ["1<", "2"], ["1<", "2"], {"accuracy": 0.8, "next_domain": float("nan")}, {"accuracy"})
    assert re.findall(r"color:#\w+(?:;font-weight:bold)?'>([\d.]+)</td>", html) == ["90.0", "20.0", "50.0", "100.0"]
    assert html.count("font-weight:bold") == 2
    assert "1<" not in html
    assert "summary numbers (%)</caption>" in html
    assert "<td>80.0</td>" in html
    assert "accuracy†" in html
    assert "<td>-</td>" in html
    assert html.endswith("<p>† on training images</p>")


def test_rows_that_are_none_of_a_square() -> None:
    html = matrix_html(np.array([[0.1, 0.2, 0.3]]), ["exp_2"], ["a", "b", "c"])
    assert html.count("<td") == 3
    assert "training images" not in html
