"""The command line as a user meets it: in a process of its own, with its exit codes and what it prints where."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from warm import run_on_terminal

from clearctl.cli import app

COMMANDS = (
    "demo",
    "doctor",
    "download",
    "import",
    "prepare-avalanche",
    "make-fewshot",
    "rebuild-by-metadata",
    "extract-features",
    "verify",
    "train",
    "resume",
    "eval",
    "report",
    "sweep",
    "list",
)
ROOT = Path(__file__).parents[2]

TINY = """
scenario = dict(train_transform=[dict(type='ToTensor')], eval_transform=[dict(type='ToTensor')])
model = dict(
    backbone=dict(type='ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,),
                  stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=3, in_channels=8))
cl_strategy = dict(type='Naive', train_mb_size=4, eval_mb_size=4, train_epochs=1,
                   optimizer=dict(type='SGD', lr=0.01))
"""


def clearctl(*arguments: object, **environment: str) -> Result:
    """In this process, where the libraries are imported already; `apart` is a user's own."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def apart(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clearctl", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def prepared(clear_folder, tmp_path):
    root = clear_folder()
    assert clearctl("prepare-avalanche", "--dataset-root", root, "--seeds", "0").exit_code == 0
    return root


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "tiny.py"
    file.write_text(TINY)
    return file


def libraries(program: str, *arguments: str) -> tuple[set[str], str]:
    """The packages outside of the standard library that a Python has imported after `program`, and what it printed."""
    ending = "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    command = [sys.executable, "-c", f"import sys\n{program}{ending}", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(ended.stderr.split()) - sys.stdlib_module_names, ended.stdout


@pytest.fixture(scope="module")
def needed() -> set[str]:
    """What Typer imports to print a help page."""
    return libraries("import typer.rich_utils\n")[0]


@pytest.mark.process
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_no_library_but_typers(command: str, needed: set[str]) -> None:
    """Which is why it comes at once; `make bench` measures that."""
    program = (
        "sys.argv[0] = 'clearctl'\n"
        "from clearctl.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
    )
    found, reported = libraries(program, *([command] if command else []), "--help")
    assert "Usage: clearctl" in reported
    assert {"typer", "rich", "clearctl"} <= found <= {*needed, "clearctl"}
    assert not found & {"torch", "torchvision", "avalanche", "mmcv", "mmcls", "wandb", "sklearn", "numpy"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_and_json(command):
    text = clearctl(command, "--help").stdout
    assert "Example" in text
    assert "--json" in text


def test_version():
    assert clearctl("--version").stdout == "clearctl 1.0.0rc1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["trian"], 2, "error: no such command 'trian'; did you mean 'train'?"),
        (["train"], 2, "missing argument 'CONFIG'"),
        (["train", "nowhere.py"], 3, "nowhere.py: no such config file"),
        (["prepare-avalanche", "--dataset-root", "nowhere"], 4, "no dataset folder at nowhere"),
        (["prepare-avalanche", "--seeds", "0-x"], 2, "--seeds 0-x: expected numbers"),
        (["eval", "nowhere"], 5, "error: no run folder or config at nowhere"),
        (["eval", "demo"], 2, "demo is a config: give the weights"),
        (["train", "."], 3, "error: . is a folder, not a config file"),
        (["demo", "--device", "gpu"], 2, "error: --device gpu: expected auto, cpu, cuda or cuda:N"),
        (["resume"], 2, "RUN_DIR"),
        (["resume", "nowhere"], 5, "nowhere: found nothing"),
    ],
)
def test_wrong_arguments(arguments, code, reported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = clearctl(*arguments)
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_write_into_a_run(tmp_path, monkeypatch):
    for name in ("config.py", "environment.json"):
        (tmp_path / name).touch()
    result = clearctl("demo", str(tmp_path))
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        2,
        f"error: {tmp_path} is a run folder: give another folder",
    )
    assert len(list(tmp_path.iterdir())) == 2


def refused(result: Result, code: int, *reported: str) -> None:
    assert result.exit_code == code, result.stderr
    errors = result.stderr[result.stderr.index("error: ") :].strip().splitlines()
    assert len(errors) <= 2, result.stderr
    for text in reported:
        assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_not_clear(tmp_path, config):
    (tmp_path / "folder").mkdir()
    refused(clearctl("prepare-avalanche", "--dataset-root", tmp_path / "folder"), 4, "has no labeled_metadata.json")
    refused(clearctl("train", config, "--dataset-root", tmp_path / "folder"), 4, "has no labeled_metadata.json")


def test_a_folder_that_is_not_prepared(clear_folder, config):
    refused(clearctl("train", config, "--dataset-root", clear_folder()), 4, "prepare-avalanche --dataset-root")


def test_a_missing_image_stops_the_run_before_it_starts(prepared, config, tmp_path):
    line = (prepared / "training_folder/filelists/1/all.txt").read_text().splitlines()[2]
    image = line.rpartition(" ")[0]
    (prepared / image).unlink()
    work_dir = tmp_path / "runs"
    result = clearctl("train", config, "--dataset-root", prepared, "--work-dir", work_dir)
    refused(result, 4, image, "bucket 1")
    assert not work_dir.exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_decoded_is_named(prepared, config, tmp_path, workers):
    line = (prepared / "training_folder/filelists/1/all.txt").read_text().splitlines()[2]
    image = line.rpartition(" ")[0]
    (prepared / image).write_bytes((prepared / image).read_bytes()[:100])
    arguments = ["--dataset-root", prepared, "--work-dir", tmp_path / "runs", "--set", f"data.workers={workers}"]
    refused(clearctl("train", config, *arguments), 4, image, "bucket 1", "cannot be decoded")


def test_cuda_without_a_gpu(prepared, config):
    result = clearctl("train", config, "--dataset-root", prepared, "--device", "cuda:99")
    refused(result, 6, "--device cuda:99", "--device cpu")


def test_an_unknown_type(prepared, config):
    config.write_text(TINY.replace("'ResNet'", "'ResNt'"))
    result = clearctl("train", config, "--dataset-root", prepared)
    refused(result, 3, "model.backbone.type", "'ResNt'", "did you mean 'ResNet'?")


def test_an_unwritable_work_dir(prepared, config, tmp_path):
    (tmp_path / "file").write_text("")
    result = clearctl("train", config, "--dataset-root", prepared, "--work-dir", tmp_path / "file" / "runs")
    refused(result, 5, "cannot create a run folder", "--work-dir")


def test_prepare_train_and_eval_speak_json(prepared, config, tmp_path):
    again = apart("prepare-avalanche", "--dataset-root", prepared, "--seeds", "0", "--json")
    assert json.loads(again.stdout)["written"] == 0
    trained = apart("train", config, "--dataset-root", prepared, "--work-dir", tmp_path / "runs", "--json")
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout)
    assert Path(answer["run"]).parent == tmp_path / "runs"
    assert set(answer["clear_metrics"]) == {
        "in_domain",
        "next_domain",
        "accuracy",
        "backward_transfer",
        "forward_transfer",
    }
    tested = apart("eval", answer["run"], "--json")
    assert json.loads(tested.stdout)["accuracy_matrix"] == answer["accuracy_matrix"]
    assert "bucket 0 (1/3) epoch 1/1" in trained.stderr  # plain lines off a terminal


def test_the_matrix_is_drawn(prepared, config, tmp_path):
    trained = clearctl("train", config, "--dataset-root", prepared, "--work-dir", tmp_path / "runs")
    assert "trained to" in trained.stdout
    assert "in_domain" in trained.stdout
    assert "\x1b" not in trained.stdout + trained.stderr


def test_a_terminal_gets_live_bars(prepared, config, tmp_path):
    """Under a pseudo-terminal the progress is drawn, and what it leaves behind is only the lines."""
    arguments = ["--dataset-root", prepared, "--work-dir", tmp_path / "runs", "--set", "cl_strategy.train_epochs=60"]
    code, text = run_on_terminal(["train", config, *arguments])
    assert code == 0, text
    assert "━" in text
    assert "accuracy" in text.split("━")[-1]  # beside the bar
    assert "\x1b[1;4;" in text  # the matrix in colour, its diagonal bold and underlined


def test_the_dataset_folder_may_come_from_the_environment(prepared, config, tmp_path):
    result = clearctl("train", config, "--work-dir", tmp_path / "runs", CLEARCTL_DATASET_ROOT=str(prepared))
    assert result.exit_code == 0, result.stderr


def test_json_has_no_nan(prepared, config, tmp_path):
    """A single bucket has no next one to be tested on: null, since NaN is not JSON."""
    arguments = [
        "--dataset-root",
        prepared,
        "--work-dir",
        tmp_path / "runs",
        "--set",
        "scenario.buckets=['0']",
        "--json",
    ]
    result = clearctl("train", config, *arguments)
    assert result.exit_code == 0, result.stderr
    assert "NaN" not in result.stdout
    assert json.loads(result.stdout)["clear_metrics"]["next_domain"] is None


def test_precision_is_recorded_and_kept_by_eval(prepared, config, tmp_path):
    """What `--precision` says is in the run's config, so that `eval` computes as the run did, unless told otherwise."""
    runs = tmp_path / "runs"
    options = ["--dataset-root", prepared, "--json"]
    result = clearctl("train", config, "--work-dir", runs, "--precision", "bf16", "--device", "cpu", *options)
    assert result.exit_code == 0, result.stderr
    [run] = runs.iterdir()
    assert "precision = 'bf16'" in (run / "config.py").read_text()
    matrix = json.loads(result.stdout)["accuracy_matrix"]
    for given, same in (([], True), (["--precision", "bf16"], True), (["--precision", "fp32"], None)):
        tested = clearctl("eval", run, "--device", "cpu", *given, *options)
        assert tested.exit_code == 0, tested.stderr
        if same:
            assert json.loads(tested.stdout)["accuracy_matrix"] == matrix


def test_a_precision_that_is_none_is_refused(prepared, config):
    for command in (["train", config], ["eval", config, "--checkpoint", config]):
        result = clearctl(*command, "--dataset-root", prepared, "--precision", "fp8")
        assert result.exit_code == 2
        assert "precision" in result.stderr
        assert "fp8" in result.stderr
