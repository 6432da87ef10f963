"""The hand-made run folders have all that a real run leaves, under the same names."""

import json
from pathlib import Path
from typing import Any

from report.folders import make_run


def shape(value: Any) -> Any:
    """The keys of nested dicts, and the type of what is none."""
    if isinstance(value, dict):
        return {key: shape(child) for key, child in value.items()}
    return float if isinstance(value, int | float) else type(value)


def test_a_hand_made_run_has_the_files_and_keys_of_a_real_one(trained, tmp_path: Path) -> None:
    real, made = trained.run, make_run(tmp_path / "run")
    files = [
        {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} - {"report.html", ".lock"}
        for run in (real, made)
    ]
    assert files[0] == files[1]
    environments = [json.loads((run / "environment.json").read_text()) for run in (real, made)]
    assert set(environments[0]) == set(environments[1])
    assert set(environments[0]["dataset"]) == set(environments[1]["dataset"])
    evaluations = [shape(json.loads((run / "eval.json").read_text())) for run in (real, made)]
    assert evaluations[0] == evaluations[1]
    lines = [list(map(json.loads, (run / "metrics.jsonl").read_text().splitlines())) for run in (real, made)]
    assert [shape(line) for line in lines[0]] == [shape(line) for line in lines[1]]
    headings = [(run / "accuracy_matrix.csv").read_text().splitlines()[0] for run in (real, made)]
    assert headings[0] == headings[1]
