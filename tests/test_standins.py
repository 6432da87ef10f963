"""What libraries import without need is not loaded by a run that does not use it, and works for one that does."""

import copy
import importlib
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, new_class
from typing import Any

import pytest

from clearctl import standins
from clearctl.standins import defer_imports, stand_ins

# What a feature run has not loaded when it has made its first step; the last line are parts of torch and torchvision.
NOT_LOADED = (
    *("matplotlib", "mpl_toolkits", "torchmetrics", "tensorboard", "wandb", "gdown", "qpsolvers", "quadprog", "GPUtil"),
    *("psutil", "timm", "huggingface_hub", "httpx", "yapf", "setuptools", "jinja2", "pandas", "sklearn", "scipy"),
    *("sympy", "triton", "optuna", "ray", "requests", "safetensors", "open_clip", "IPython"),
    *("clearctl.report", "clearctl.sweep", "clearctl.demo", "clearctl.doctor", "clearctl.engine.stack"),
    *("torch.utils.tensorboard", "torch.utils.cpp_extension", "torch.onnx", "torch._inductor"),
    *("torch._dynamo.symbolic_convert", "torchvision.models", "torchvision.ops"),
)


def python(program: str, *arguments: object) -> str:
    """What `program` prints in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package `drawing` that prints when it is loaded, with `drawing.figure.Figure` and a function."""
    folder = tmp_path / "drawing"
    folder.mkdir()
    (folder / "__init__.py").write_text("print('drawing')\n__version__ = '1.0'\n")
    (folder / "figure.py").write_text(
        "print('drawing.figure')\nclass Figure:\n    size = 3\ndef sized(size):\n    return size\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("drawing", "library")]:
        del sys.modules[name]


def library(folder: Path, code: str) -> ModuleType:
    """A module `library` that has been imported with stand-ins for `drawing`."""
    (folder.parent / "library.py").write_text(code)
    with stand_ins(["drawing"]):
        return importlib.import_module("library")


FROM_IMPORT = "from drawing.figure import Figure, sized\n"


@pytest.mark.parametrize(
    ("code", "use", "value"),
    [
        (FROM_IMPORT, lambda used: used.Figure().size, 3),
        (FROM_IMPORT, lambda used: used.Figure.size, 3),
        (FROM_IMPORT, lambda used: used.sized(4), 4),
        (FROM_IMPORT, lambda used: issubclass(new_class("Own", (used.Figure,)), used.Figure), True),
        (FROM_IMPORT, lambda used: (used.Figure | None).__args__[0].size, 3),
        (FROM_IMPORT, lambda used: (None | used.Figure).__args__[1].size, 3),
        (FROM_IMPORT, lambda used: copy.deepcopy(used.Figure).size, 3),
        (FROM_IMPORT, lambda used: pickle.loads(pickle.dumps(used.Figure)).size, 3),
        (FROM_IMPORT, lambda used: used.Figure.__name__, "Figure"),
        ("import drawing.figure as figure\n", lambda used: figure_of(used.figure), 3),
        ("from drawing import figure\n", lambda used: figure_of(used.figure), 3),
        ("import drawing.figure\n", lambda used: figure_of(used.drawing.figure), 3),
        ("import drawing\n", lambda used: used.drawing.__version__, "1.0"),
    ],
)
def test_a_stand_in_loads_the_real_one_when_it_is_used(
    drawing: Path, capsys: pytest.CaptureFixture[str], code: str, use: Any, value: object
) -> None:
    used = library(drawing, code)
    assert capsys.readouterr().out == ""
    assert "drawing" not in sys.modules
    assert use(used) == value
    assert capsys.readouterr().out.splitlines()[0] == "drawing"


def figure_of(module: Any) -> object:
    """The size of a Figure of a module or its stand-in."""
    return module.Figure().size


def test_naming_a_class_is_no_use(drawing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used = library(drawing, FROM_IMPORT + "from typing import Optional, Union\nValue = Optional[Union[int, Figure]]\n")
    assert used.Value.__args__ == (int, used.Figure, type(None))
    assert not isinstance(3, (used.Figure, str))
    assert not issubclass(int, used.Figure)
    assert capsys.readouterr().out == ""
    real = importlib.import_module("drawing.figure")
    assert isinstance(real.Figure(), used.Figure)
    assert issubclass(real.Figure, used.Figure)


def test_a_use_within_loads_the_real_one_for_all_that_follows(drawing: Path) -> None:
    used = library(drawing, FROM_IMPORT + "class Own(Figure): pass\nfrom drawing.figure import Figure as Again\n")
    assert used.Own.__mro__[1] is used.Again is sys.modules["drawing.figure"].Figure


def test_afterwards_imports_are_as_ever(drawing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library(drawing, FROM_IMPORT)
    real = importlib.import_module("drawing.figure")
    assert capsys.readouterr().out == "drawing\ndrawing.figure\n"
    assert isinstance(real.Figure, type)
    assert real.__file__ == str(drawing / "figure.py")
    assert standins._standing == []


def test_what_is_loaded_or_not_installed_is_imported_as_ever(drawing: Path) -> None:
    real = importlib.import_module("drawing")
    assert library(drawing, FROM_IMPORT).Figure is sys.modules["drawing.figure"].Figure
    assert sys.modules["drawing"] is real
    with pytest.raises(ModuleNotFoundError), stand_ins(["no_such_package"]):
        importlib.import_module("no_such_package")


def test_a_name_that_is_not_there_is_an_attribute_error(drawing: Path) -> None:
    used = library(drawing, "from drawing.figure import nothing\n")
    with pytest.raises(AttributeError, match="nothing"):
        used.nothing()


def test_a_submodule_that_its_package_imports_is_imported_when_it_is_asked_for(
    drawing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (drawing / "__init__.py").write_text("from drawing import figure\n")
    with stand_ins(["drawing.figure"]):
        package: Any = importlib.import_module("drawing")
    assert capsys.readouterr().out == ""
    assert "figure" not in vars(package)
    with pytest.raises(AttributeError, match="module 'drawing' has no attribute 'other'"):
        package.other  # noqa: B018
    assert package.figure is sys.modules["drawing.figure"]
    assert package.figure.Figure.size == 3


def test_a_library_is_imported_with_its_stand_ins(
    drawing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standins, "STAND_INS", {"library": ("drawing",)})
    defer_imports()
    (drawing.parent / "library.py").write_text(FROM_IMPORT)
    used: Any = importlib.import_module("library")
    assert used.__spec__.loader.get_source("library") == FROM_IMPORT
    assert capsys.readouterr().out == ""
    assert used.Figure().size == 3


@pytest.mark.process
def test_a_feature_run_has_not_loaded_them_at_its_first_step(
    prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    program = """
        import sys
        from clearctl import train
        from clearctl.progress import EpochDone, TrainStep

        def stop(event):
            if isinstance(event, TrainStep | EpochDone):  # no step is reported of an epoch that is short
                print(*sys.modules)
                sys.exit()

        text_log = "loggers=[{'type': 'TextLogger'}]"
        train(sys.argv[1], device="cpu", dataset_root=sys.argv[2], work_dir=sys.argv[3], overrides=[text_log],
              listener=stop)
    """
    loaded = python(program, features_config, prepared, tmp_path).split()
    assert "avalanche.training.plugins.gem" in loaded
    assert "mmcls.models.backbones.timm_backbone" in loaded
    assert [name for name in NOT_LOADED if name in loaded] == []


@pytest.mark.process
def test_they_are_whole_once_used() -> None:
    """In a process that has imported what a run imports."""
    program = """
        import sys
        import clearctl.engine.run.train, clearctl.models.heads
        from avalanche.evaluation import metric_utils, metrics
        from avalanche.logging import tensorboard_logger, wandb_logger
        import torch, torchvision

        metric = metrics.TopkAccuracy(2)
        metric.update(torch.tensor([[0.1, 0.6, 0.3], [0.7, 0.1, 0.2]]), torch.tensor([2, 2]), 0)
        print(metric.result()[0])
        usage = metrics.CPUUsage()
        usage.update()
        print(usage.result() >= 0)
        figure = metric_utils.default_cm_image_creator(torch.eye(3))
        print(isinstance(figure, wandb_logger.Figure), isinstance(figure, tensorboard_logger.Figure))
        print(isinstance(3, tensorboard_logger.SummaryWriter), tensorboard_logger.SummaryWriter.__name__)
        import gdown, GPUtil, qpsolvers, wandb
        print(wandb.Settings.__name__, gdown.download.__name__, GPUtil.getGPUs.__name__, qpsolvers.solve_qp.__name__)
        print(torchvision.models.resnet18().fc.out_features, torchvision.ops.nms.__name__)
        print(sys.modules[torchvision.ops.roi_align.__module__].is_compile_supported("cpu"), "sympy" in sys.modules)
        from mmcls.models import build_backbone
        backbone = build_backbone(dict(type="TIMMBackbone", model_name="resnet18", pretrained=False))
        print(type(backbone.timm_model).__module__)
        from mmcv import Config
        print(Config(dict(a=1)).pretty_text)
        from mmcv.utils import CppExtension
        print(CppExtension("name", []).language)
    """
    assert python(program).splitlines() == [
        *("1.0", "True", "True True", "False SummaryWriter", "Settings download getGPUs solve_qp", "1000 nms"),
        *("True True", "timm.models.resnet", "a = 1", "", "c++"),
    ]
