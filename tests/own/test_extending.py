"""The examples of docs/extending.md, run as they stand there."""

import re
from pathlib import Path

import pytest

from clearctl import train
from clearctl.engine.build.preflight import check_config

TEXT = (Path(__file__).parents[2] / "docs/extending.md").read_text(encoding="utf-8")
FILES: dict[str, str] = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
CONFIGS = [name for name, code in FILES.items() if "_base_" in code]
OF_IMAGES = ("network.py", "transform.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, features_config: Path, tiny_config: Path) -> Path:
    """All examples, on the tests' configs in place of the demo's, which is of other images."""
    place = tmp_path_factory.mktemp("examples")
    for file, code in FILES.items():
        base = tiny_config if file in OF_IMAGES else features_config
        (place / file).write_text(code.replace("configs/quickstart.py", str(base)))
    return place


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_right_and_trains(name: str, folder: Path, prepared: Path, tmp_path: Path) -> None:
    assert check_config(folder / name, dataset_root=prepared).faults == []
    result = train(folder / name, device="cpu", dataset_root=prepared, work_dir=tmp_path)
    assert result.matrix.shape == (3, 3)


def test_there_is_an_example_of_each() -> None:
    assert CONFIGS == ["plugin.py", "strategy.py", "network.py", "transform.py", "metric.py"]
    assert check_config(Path("configs/quickstart.py")).faults == []  # which the examples build on
