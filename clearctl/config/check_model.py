"""The section `model` of a config: the network, its weights, what is done to its batches."""

from collections.abc import Mapping
from typing import Any

from clearctl.config.catalogue import Catalogue
from clearctl.config.findings import Findings
from clearctl.config.keys import FEATURES, MODEL, PARTS, WIDTHS


def check_model(found: Findings, key: str, section: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Add to `found` what is wrong with the section at `key`."""
    found.known(key, section, tuple(MODEL))
    found.one_of(f"{key}.type", section.get("type", MODEL["type"].default), ("ImageClassifier",))
    if not section.get("head") and not section.get("torchmodel"):
        found.add(
            key,
            "expected a head, such as head=dict(type='LinearClsHead', num_classes=11, in_channels=512)",
        )
    if section.get("torchmodel") and any(section.get(part) for part in ("backbone", "neck", "head")):
        found.add(f"{key}.torchmodel", "cannot be combined with backbone, neck or head")
    for part, registry in (
        ("backbone", catalogue.backbones),
        ("neck", catalogue.necks),
        ("head", catalogue.heads),
        ("torchmodel", catalogue.torch_models),
    ):
        if part == "neck" and isinstance(section.get(part), list):
            found.calls(f"{key}.{part}", section[part], registry)
        elif section.get(part) is not None:
            found.call(f"{key}.{part}", _of_known_width(found, f"{key}.{part}", section[part], part), registry)
    head = section.get("head")
    if isinstance(head, dict) and head.get("loss") is not None:
        found.call(f"{key}.head.loss", head["loss"], catalogue.losses)
    backbone = section.get("backbone")
    if isinstance(backbone, dict) and isinstance(backbone.get("pretrained"), str):
        _checkpoint(found, f"{key}.backbone.pretrained", backbone["pretrained"])
    if section.get("pretrained") is not None:
        _checkpoint(found, f"{key}.pretrained", section["pretrained"])
        if section.get("torchmodel"):
            found.add(f"{key}.pretrained", "is for backbone, neck and head: use load_from with a torchmodel")
    for place, given in ((key, section), *((f"{key}.{name}", section.get(name)) for name in PARTS)):
        _initialisation(found, f"{place}.init_cfg", given.get("init_cfg") if isinstance(given, dict) else None)
    if section.get("train_cfg") is not None and found.is_a(f"{key}.train_cfg", section["train_cfg"], dict):
        _augments(found, f"{key}.train_cfg", section["train_cfg"], head, catalogue)
    freeze = section.get("freeze", MODEL["freeze"].default)
    parts = [part for part in PARTS if section.get(part)]
    if found.is_a(f"{key}.freeze", freeze, list):
        for part in freeze:
            found.one_of(f"{key}.freeze", part, parts)


def _of_known_width(found: Findings, key: str, section: Any, part: str) -> Any:
    """`section` with a number instead of the word for the dimension of the features."""
    width = WIDTHS.get(part)
    if width is None or not isinstance(section, dict) or section.get(width) != FEATURES:
        return section
    if not _are_trained_on(found.config.values):
        text = f"found {FEATURES!r}, the dimension of scenario.feature_type, which is missing: give the number"
        found.add(f"{key}.{width}", text)
    return {**section, width: 1}


def _are_trained_on(values: Mapping[str, Any]) -> bool:
    """Whether the config trains on features."""
    scenario = values.get("scenario")
    return isinstance(scenario, dict) and bool(scenario.get("feature_type"))


def _initialisation(found: Findings, key: str, value: Any) -> None:
    """mmcv's init_cfg, one or a list; only a checkpoint in it is looked at, the rest is mmcv's to check."""
    entries = value if isinstance(value, list | tuple) else [value]
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("type") == "Pretrained":
            place = f"{key}.{index}" if isinstance(value, list | tuple) else key
            _checkpoint(found, f"{place}.checkpoint", entry.get("checkpoint"))


def _checkpoint(found: Findings, key: str, value: Any) -> None:
    """Check that a checkpoint is a local path: nothing is downloaded."""
    if found.is_a(key, value, str) and "://" in value:
        found.add(key, f"found {value!r}: weights are not downloaded; give the path of a local file")


def _augments(found: Findings, key: str, section: dict[str, Any], head: Any, catalogue: Catalogue) -> None:
    """mmcls's train_cfg: augmentations of whole batches, one or a list."""
    found.known(key, section, ("augments",))
    given = section.get("augments")
    if given is None:
        return
    found.calls(f"{key}.augments", [given] if isinstance(given, dict) else given, catalogue.augments)
    classes = head.get("num_classes") if isinstance(head, dict) else None
    for index, entry in enumerate(given if isinstance(given, list) else [given]):
        named = entry.get("num_classes") if isinstance(entry, dict) else None
        if named is not None and classes is not None and named != classes:
            found.add(
                f"{key}.augments.{index}.num_classes",
                f"found {named!r}, but model.head.num_classes is {classes!r}: its labels must match the scores",
            )
