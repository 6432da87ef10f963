"""The inputs of a run that its config only names: the contents of its dataset and weight files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.config.fill import fill
from clearctl.config.load import Config, flatten
from clearctl.config.own import code_digests
from clearctl.digest import file_sha256
from clearctl.engine.build.stream import build_stream
from clearctl.errors import ClearctlError
from clearctl.features.record import read_extraction

# Keys whose value may be a file of weights that a run begins with, beside the checkpoints of `init_cfg`.
FIRST_WEIGHTS = ("load_from", "model.pretrained", "model.backbone.pretrained")


def weight_files(values: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """(dotted key, file) for each file that a config takes first weights from."""
    for key, value in flatten(dict(values)):
        parts = key.split(".")
        of_init = parts[-1] == "checkpoint" and "init_cfg" in parts
        if isinstance(value, str) and value and (key in FIRST_WEIGHTS or of_init):
            yield key, Path(value).expanduser()


def weight_digests(values: Mapping[str, Any]) -> dict[str, str]:
    """{dotted key: sha256} of the files that a config takes initial weights from, if they exist."""
    return {key: file_sha256(file) for key, file in weight_files(values) if file.is_file()}


def named_contents(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of environment.json for the content of files that a config only names.

    That is its files of weights and, if it has any, own modules, and how the features were made that it learns from.
    """
    found: dict[str, Any] = {"weights": weight_digests(values)}
    scenario = values["scenario"]
    if scenario.get("feature_type"):
        extraction = read_extraction(Path(scenario["dataset_root"]), scenario["feature_type"])
        found |= {"extraction": extraction} if extraction is not None else {}
    if values.get("custom_imports"):
        found["code"] = code_digests(values)
    return found


def other_code(values: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    """The own modules of a config that are not what `environment` says they were."""
    before, now = environment.get("code") or {}, code_digests(values) if values.get("custom_imports") else {}
    return [name for name in before if now.get(name) not in (None, before[name])]


class RunInputs:
    """Compares the inputs of existing runs with those that they would have now; each dataset is read once."""

    def __init__(self) -> None:
        self._described: dict[str, dict[str, Any] | None] = {}
        self._digests: dict[Path, str | None] = {}

    def changes(self, config: Config, environment: Mapping[str, Any]) -> list[str]:
        """The inputs that differ from those in `environment`: "the features", "the weights of load_from", ...

        Inputs that can no longer be read, or were not noted, are skipped.
        """
        now, then = self._dataset(config), environment["dataset"]
        found = []
        if now is not None:
            words = {"filelists": "the file lists", "class_names": "the class names", "features": "the features"}
            differing = [name for name in words if then.get(name) not in (None, now[name])]
            found = [words[name] for name in differing]
            if not found and then.get("fingerprint") not in (None, now["fingerprint"]):
                found = ["the split, or the order of samples"]
        for key, digest in (environment.get("weights") or {}).items():
            file = dict(weight_files(config.values)).get(key)
            if file is not None and self._digest(file) not in (None, digest):
                found.append(f"the weights of {key}")
        return [*found, *(f"module {name}" for name in other_code(config.values, environment))]

    def _dataset(self, config: Config) -> dict[str, Any] | None:
        settings = fill(config)
        scenario = settings.scenario
        key = repr(scenario)
        if key not in self._described:
            try:
                layout.read_bucket_indices(scenario.dataset_root)
                self._described[key] = build_stream(scenario, settings.data).describe(scenario.dataset_root)
            except ClearctlError:  # the run itself will raise it
                self._described[key] = None
        return self._described[key]

    def _digest(self, file: Path) -> str | None:
        if file not in self._digests:
            self._digests[file] = file_sha256(file) if file.is_file() else None
        return self._digests[file]
