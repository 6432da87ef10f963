"""Predictions for programs: JSON, and CSV with a row per image, bucket and rank."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl.engine.predict.predict import PredictResult
from clearctl.errors import UsageError
from clearctl.jsontext import json_text
from clearctl.wording import any_of

TABLE = "table"
SUFFIXES = {".csv": "csv", ".json": "json"}
FORMATS = (TABLE, *SUFFIXES.values())


@dataclass(frozen=True)
class Answer:
    """One class that the model after a bucket gives an image: `rank` counts from 1."""

    image: Path
    bucket: str
    rank: int
    label: str
    index: int
    value: float


def answers(result: PredictResult, top: int) -> Iterator[Answer]:
    """The `top` classes of each image by each model, in the order of images, then buckets, the best first."""
    found = {bucket: [part.tolist() for part in result.top(top, bucket)] for bucket in result.history}
    for number, image in enumerate(result.images):
        for bucket, (indices, values) in found.items():
            for rank, (index, value) in enumerate(zip(indices[number], values[number], strict=True), 1):
                yield Answer(image, bucket, rank, result.class_names[index], index, value)


def value_name(result: PredictResult) -> str:
    """The name of the values: `probability`, or `score` if they are not probabilities."""
    return "score" if result.no_probabilities else "probability"


def render_csv(result: PredictResult, top: int) -> str:
    """image, bucket, rank, label, class_index and probability, or score, of each answer."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "bucket", "rank", "label", "class_index", value_name(result)])
    for each in answers(result, top):
        writer.writerow([each.image, each.bucket, each.rank, each.label, each.index, repr(each.value)])
    return _printable(text.getvalue())


def render_json(result: PredictResult, top: int) -> str:
    """{"predictions": [{"image", "bucket", "top": [{"label", "class_index", "probability"}]}], ...}."""
    name = value_name(result)
    predictions: list[dict[str, Any]] = []
    for each in answers(result, top):
        if each.rank == 1:
            predictions.append({"image": str(each.image), "bucket": each.bucket, "top": []})
        predictions[-1]["top"].append({"label": each.label, "class_index": each.index, name: each.value})
    return json_text(
        {
            "checkpoints": {bucket: str(file) for bucket, file in result.checkpoints.items()},
            "without_weights": result.without_weights,
            "class_names": result.class_names,
            "no_probabilities": result.no_probabilities,
            "predictions": predictions,
            "unreadable": [{"image": str(file), "reason": why} for file, why in result.unreadable.items()],
        }
    )


def _printable(text: str) -> str:
    """`text` with what is not a character, in a file's name, as Python writes it."""
    return text.encode("utf-8", "backslashreplace").decode()


RENDERERS = {"csv": render_csv, "json": render_json}


def choose_format(output: Path | None, format: str | None, json: bool) -> str:
    """The format that is meant: what `format` says, else the suffix of `output`, else a table. Raises UsageError."""
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format}: expected {any_of(FORMATS)}")
    if json and output is None:
        if format not in (None, "json"):
            raise UsageError(f"--json contradicts --format {format}: leave one of them out")
        return "json"
    if output is None:
        return format or TABLE
    chosen = format or SUFFIXES.get(output.suffix.lower())
    if chosen in (None, TABLE):
        raise UsageError(
            f"--output {output}: expected a name that ends in {any_of(list(SUFFIXES))}, or --format csv|json"
        )
    assert chosen is not None
    return chosen
