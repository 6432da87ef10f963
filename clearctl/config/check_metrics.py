"""The section `metrics` of a config: its calls, and what a metric needs of the rest of the config."""

from collections.abc import Mapping
from typing import Any

from clearctl.config.catalogue import Catalogue
from clearctl.config.findings import Findings
from clearctl.config.keys import EVERY_STRATEGY, OF_LEFT_OUT
from clearctl.config.ranges import COUNT

CALIBRATION = "calibration_metrics"


def check_metrics(found: Findings, key: str, value: Any, catalogue: Catalogue) -> None:
    """Add to `found` what is wrong with the list of metrics at `key`."""
    found.calls(key, value, catalogue.metrics)
    values = found.config.values
    strategy, scenario = (_section(values, name) for name in ("cl_strategy", "scenario"))
    # Avalanche's forward transfer is measured by evaluations during training.
    never = strategy.get("eval_every") in (None, EVERY_STRATEGY["eval_every"].default)
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if not isinstance(entry, dict):
            continue
        place, kind = f"{key}.{index}", entry.get("type")
        if kind == "forward_transfer_metrics" and never:
            found.add(place, "forward_transfer_metrics needs cl_strategy.eval_every=0 or more")
        if kind == "topk_acc_metrics":
            found.count(f"{place}.top_k", entry.get("top_k"), COUNT)
            found.at_most_classes(f"{place}.top_k", entry.get("top_k"))
        if kind == OF_LEFT_OUT and not (scenario.get("classes") or scenario.get("drop_classes")):
            found.add(place, "it needs classes outside the stream: give scenario.classes or scenario.drop_classes")
        if kind in (CALIBRATION, OF_LEFT_OUT) and (reason := no_probabilities(found, values)):
            found.add(place, f"it uses the softmax of the scores as probabilities, but {reason}: leave it out")
        if scenario.get("task_labels") == "bucket" and isinstance(entry.get("classes"), list):
            text = "a list is for task label 0, with scenario.task_labels='bucket' the first bucket only: leave it out"
            found.add(f"{place}.classes", text)


def no_probabilities(found: Findings, values: Mapping[str, Any]) -> str | None:
    """The reason why the softmax of the model's scores is not a probability; None if it is, or if unknown."""
    strategy = _section(values, "cl_strategy")
    of_strategy = found.traits_of(strategy.get("type")).scores
    if of_strategy is not None:
        return f"those of {strategy['type']} are {of_strategy}"
    head = _section(_section(values, "model"), "head")
    for section in (strategy, head):
        loss = _section(section, "loss")
        if loss:
            return f"{loss.get('type')} here trains one sigmoid per class" if _has_sigmoids(loss) else None
    return None


def _has_sigmoids(loss: Mapping[str, Any]) -> bool:
    """Whether one of mmcls's losses takes the sigmoid of each score."""
    name = loss.get("type")
    return (
        name == "FocalLoss"
        or (name == "AsymmetricLoss" and loss.get("use_sigmoid", True))
        or (name == "LabelSmoothLoss" and loss.get("mode") == "multi_label")
        or (name == "CrossEntropyLoss" and bool(loss.get("use_sigmoid")))
    )


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section; empty if it is missing or has a wrong type, which is reported elsewhere."""
    section = values.get(name)
    return section if isinstance(section, dict) else {}
