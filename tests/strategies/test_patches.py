"""Changes to libraries: each is listed with a test, and those of the process are undone at the end of a call."""

import ast
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.distributed import DistributedHelper
from matplotlib import pyplot
from test_gather import datasets
from torch.utils.data import DataLoader
from torch.utils.data._utils.collate import default_collate_fn_map

from clearctl import train
from clearctl.engine.build.accelerate import allow_tf32
from clearctl.strategies.patches import PATCHES, Patch, applied

pytest_plugins = ("blobs",)
ROOT = Path(__file__).parents[2]
CUDA = torch.device("cuda")


def name(patch: Patch) -> str:
    return f"{patch.what} in {patch.where}"


@cache
def names_in(file: Path) -> set[str]:
    """The names of the tests in a file, which is not imported."""
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("patch", PATCHES, ids=name)
def test_a_row_names_what_is_there(patch: Patch) -> None:
    file, _, test = patch.test.partition("::")
    assert test in names_in(ROOT / file)
    library, version = patch.library
    if library != "python":
        installed = importlib.metadata.version(library)
        assert installed == version or installed.startswith(f"{version}." if version else "")
    parts = f"clearctl.{patch.where}".split(".")
    found: Any = importlib.import_module("clearctl")
    for number, part in enumerate(parts[1:], 2):
        found = getattr(found, part, None) or importlib.import_module(".".join(parts[:number]))
    assert patch.issue is None or re.fullmatch(r"https://github.com/[\w-]+/[\w-]+/(issues|pull)/\d+", patch.issue)
    assert patch.stays is None or patch.kind == "process"


def test_a_row_is_there_once() -> None:
    assert len({name(patch) for patch in PATCHES}) == len(PATCHES)
    assert {patch.kind for patch in PATCHES} == {"process", "object", "subclass"}


def as_given(samples: Any) -> list[Any]:
    """A collate function of a user's own."""
    return [list(sample) for sample in samples]


def types_of_samples() -> list[list[type]]:
    """Of the samples that a loader of the user's own gets."""
    [dataset] = datasets([2])
    [batch] = DataLoader(dataset, batch_size=2, collate_fn=as_given)
    return [[type(part) for part in sample] for sample in batch]


def test_after_a_run_a_loader_of_the_users_own_gets_samples(write_config: Callable[..., Path]) -> None:
    assert types_of_samples() == [[torch.Tensor, int, int]] * 2
    train(write_config("naive"), device="cpu")
    assert not hasattr(AvalancheDataset, "__getitems__")
    assert types_of_samples() == [[torch.Tensor, int, int]] * 2


def state() -> tuple[bool, bool, int]:
    """Whether what `applied` changes is changed."""
    there = hasattr(AvalancheDataset, "__getitems__")
    return there, type(DistributedHelper).is_distributed is False, len(default_collate_fn_map)


def test_the_last_call_to_end_undoes_them_whichever_began_first() -> None:
    *_, kinds = before = state()
    within = (True, True, kinds + 1)
    assert before == (False, False, kinds)
    begun, ended = threading.Event(), threading.Event()

    def other() -> None:
        with applied():
            begun.set()
            ended.wait()

    thread = threading.Thread(target=other)
    with applied(), applied():
        assert state() == within
        thread.start()
        begun.wait()
    assert state() == within
    ended.set()
    thread.join()
    assert state() == before
    with pytest.raises(KeyError), applied():
        raise KeyError
    assert state() == before


def tf32() -> list[Any]:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    return [products.allow_tf32, convolutions.allow_tf32, products.fp32_precision, convolutions.conv.fp32_precision]


def test_threads_and_tf32_are_put_back() -> None:
    threads, switches = torch.get_num_threads(), tf32()
    with applied():
        torch.set_num_threads(threads + 1)
        for allowed in (True, False):
            allow_tf32(allowed, CUDA)
            assert tf32()[:2] == [allowed] * 2
    assert (torch.get_num_threads(), tf32()) == (threads, switches)


def test_tf32_that_a_program_has_set_by_the_newer_switches_is_put_back() -> None:
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    try:
        products.fp32_precision = "tf32"
        with applied():
            allow_tf32(False, CUDA)
            assert products.fp32_precision != "tf32"
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before


def test_figures_of_metrics_are_let_go_of_by_pyplot(write_config: Callable[..., Path]) -> None:
    earlier = pyplot.get_fignums()  # of other tests, outside of a run
    own = pyplot.figure()
    matrix = "metrics=[{'type': 'confusion_matrix_metrics', 'stream': True, 'save_image': True}]"
    train(write_config("naive"), device="cpu", overrides=[matrix])
    assert pyplot.get_fignums() == [*earlier, own.number]
    pyplot.close(own)


SNAPSHOT = """
    import gc, inspect, logging, os, random, signal, socket, sys, threading, types, warnings
    import clearctl, clearctl.report.page, clearctl.features.extract, matplotlib, mmcls.models, numpy, PIL.Image, torch
    from clearctl.engine.build.catalogue import CATALOGUE
    from torch.utils.data._utils.collate import default_collate_fn_map

    for registry in (CATALOGUE.strategies, CATALOGUE.plugins, CATALOGUE.metrics, CATALOGUE.loggers, CATALOGUE.heads):
        registry.classes  # what an import changes is the library's own doing
    PIL.Image.preinit()
    torch.optim.SGD([torch.zeros(1)])  # which torch wraps when the first is made
    torch._dynamo.config  # which torch imports for deterministic algorithms
    LIBRARIES = ("avalanche", "mmcls", "mmcv", "wandb", "tensorboard", "torch.utils.data", "torch.optim", "torch.nn")

    def held(owner):
        return {key: id(value) for key, value in vars(owner).items() if not key.startswith("__") or key in HOOKS}

    HOOKS = ("__getitems__", "__getitem__", "__call__", "__init__", "__iter__", "__len__")

    def snapshot():
        backends, found = torch.backends, {}
        for name, module in list(sys.modules.items()):
            if name.startswith(LIBRARIES) and isinstance(module, types.ModuleType):
                found[name] = held(module)
                for key, value in list(vars(module).items()):
                    if inspect.isclass(value) and value.__module__ == name:
                        found[name, key] = held(value)
        loggers = {name: each for name, each in logging.root.manager.loggerDict.items() if hasattr(each, "level")}
        found["levels"] = {name: each.level for name, each in loggers.items()}
        found["handlers"] = [(id(each), each.level) for each in logging.root.handlers], logging.root.level
        found["warnings"] = list(warnings.filters), warnings.showwarning
        found["threads"] = torch.get_num_threads(), torch.get_num_interop_threads()
        found["deterministic"] = torch.are_deterministic_algorithms_enabled(), backends.cudnn.deterministic
        found["cudnn"] = backends.cudnn.benchmark, backends.cudnn.enabled, backends.cudnn.allow_tf32
        found["products"] = backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()
        found["defaults"] = torch.get_default_dtype(), torch.is_grad_enabled(), torch.cuda.is_available
        found["sharing"] = torch.multiprocessing.get_sharing_strategy()
        found["collate"] = list(default_collate_fn_map)
        found["signals"] = {number: signal.getsignal(number) for number in signal.valid_signals()}
        found["hooks"] = sys.excepthook, sys.unraisablehook, threading.excepthook, sys.stdout, sys.stderr
        found["limits"] = sys.getrecursionlimit(), sys.getswitchinterval(), socket.getdefaulttimeout()
        found["process"] = dict(os.environ), os.getcwd(), gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
        found["drawing"] = dict.copy(matplotlib.rcParams), numpy.geterr(), PIL.Image.MAX_IMAGE_PIXELS
        found["path"] = list(sys.path)
        found["generators"] = random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()
        return found

    logging.basicConfig(level=logging.INFO)
    config, features_config, root, own_root, work_dir = sys.argv[1:]
    given = dict(device="cpu", dataset_root=root, work_dir=work_dir)

    def run(config, *overrides):
        run = clearctl.train(config, overrides=overrides, **given).run
        clearctl.evaluate(run, device="cpu")
        clearctl.resume(run)

    def extract():
        network = dict(arch="mmcls:ResNet", arguments=dict(depth=18))
        clearctl.extract_features(own_root, **network, weights="none", buckets=["0"])

    calls = {
        "features": lambda: run(features_config),
        "deterministic": lambda: run(features_config, "deterministic=True"),
        "images": lambda: run(config),
        "extract": extract,
    }
    for name, call in calls.items():
        if os.fork():  # each in a process in which no other was
            assert os.wait()[1] == 0, name
            continue
        before = snapshot()
        call()
        after = snapshot()
        after["levels"] = {name: after["levels"][name] for name in before["levels"]}
        changed = [name for name, value in before.items() if after[name] != value]
        print(name, *changed, flush=True)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def left_changed(
    prepared: Path, tiny_config: Path, features_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """{call: what it leaves changed in the process}, each call in a fork of one new interpreter."""
    folder = tmp_path_factory.mktemp("left")
    own = shutil.copytree(prepared, folder / "data")
    arguments = map(str, (tiny_config, features_config, prepared, own, folder))
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SNAPSHOT), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return {name: changed for name, *changed in map(str.split, answer.stdout.splitlines())}


@pytest.mark.process
@pytest.mark.parametrize(
    ("call", "changed"),
    [("features", ["generators"]), ("deterministic", ["generators"]), ("images", ["generators"]), ("extract", [])],
    ids=["features", "deterministic", "images", "extract"],
)
def test_a_run_leaves_the_process_as_it_was(call: str, changed: list[str], left_changed: dict[str, list[str]]) -> None:
    """But for what a row says stays: a run seeds the generators."""
    assert left_changed[call] == changed
