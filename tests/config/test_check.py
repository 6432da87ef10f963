"""Every fault of a config is found before anything is built, with its file, key, value and the closest name."""

import re
from contextlib import suppress
from pathlib import Path

import pytest

from clearctl.config.check import check, require
from clearctl.config.load import load
from clearctl.config.published import fill_class_counts
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.preflight import check_config
from clearctl.errors import ConfigError, DatasetError

CONFIGS = Path(__file__).parents[2] / "configs"
PARTS = {"_base_", "models"}  # folders of sections that a config is made of; tests/models has the latter
SHIPPED = sorted(file for file in CONFIGS.rglob("*.py") if not PARTS & set(file.parts))


def faults(file: Path, *overrides: str) -> list[str]:
    return [str(fault) for fault in check(load(file, overrides), CATALOGUE)]


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        ("{'imports': 3}", "custom_imports.imports: found 3, expected a list of modules"),
        ("{'imports': True}", "custom_imports.imports: found True, expected a list of modules"),
        ("{'imports': {'a': 1}}", "custom_imports.imports: found {'a': 1}, expected a list of modules"),
        ("{'imports': [], 'allow_failed_imports': 'x'}", "allow_failed_imports: found 'x', expected a bool"),
        ("{'imports': [], 'folders': 'x'}", "custom_imports.folders: found 'x', expected a list of folders"),
        ("{'imports': [], 'folders': [3]}", "custom_imports.folders: found [3], expected a list of folders"),
    ],
)
def test_custom_imports_have_their_types(imports: str, message: str, tiny_config: Path) -> None:
    (fault,) = check_config(tiny_config, overrides=[f"custom_imports={imports}"]).faults
    assert message in fault


@pytest.mark.parametrize("entry", ["{}", "{'x': 1}", "{'type': None}", "1"])
def test_a_plugin_without_a_type_hides_no_other_fault(entry: str, tiny_config: Path) -> None:
    plugins = f"cl_strategy.plugins=[{entry}, {{'type': 'EarlyStoppingPlugin', 'patience': 1, 'val_stream_name': 'x'}}]"
    found = "\n".join(faults(tiny_config, plugins, "cl_strategy.eval_every_steps=0"))
    for key in ("plugins.0", "cl_strategy.eval_every:", "plugins.1.val_stream_name", "cl_strategy.eval_every_steps"):
        assert key in found


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_shipped_configs_have_no_faults(file: Path, tmp_path: Path) -> None:
    config = load(file)
    with suppress(DatasetError):  # there is no folder: a number stands for that of its classes
        fill_class_counts(config, tmp_path)
    assert check(config, CATALOGUE) == []


def test_there_are_shipped_configs() -> None:
    assert CONFIGS / "quickstart.py" in SHIPPED


def test_configs_of_the_tests_have_no_faults(tiny_config: Path, features_config: Path) -> None:
    assert faults(tiny_config) == faults(features_config) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # no such type
        ("model.backbone.type=ResNte", "model.backbone.type: no backbone is called 'ResNte'; did you mean 'ResNet'?"),
        ("model.neck.type=GlobalAvgPooling", "did you mean 'GlobalAveragePooling'?"),
        ("model.head.type=linearclshead", "no head is called 'linearclshead'; did you mean 'LinearClsHead'?"),
        ("cl_strategy.type=Naïve", "cl_strategy.type: no strategy is called 'Naïve'; did you mean 'Naive'?"),
        (
            "cl_strategy.optimizer.type=Sgd",
            "cl_strategy.optimizer.type: no optimizer is called 'Sgd'; did you mean 'SGD'?",
        ),
        ("cl_strategy.scheduler.type=StepLr", "no scheduler is called 'StepLr'; did you mean 'StepLR'?"),
        ("cl_strategy.loss.type=CrossEntropy", "no loss is called 'CrossEntropy'; did you mean 'CrossEntropyLoss'?"),
        (
            "scenario.train_transform.1.type=Totensor",
            "scenario.train_transform.1.type: no transform is called 'Totensor'; did you mean 'ToTensor'?",
        ),
        (
            "metrics.0.type=accuracy_metric",
            "metrics.0.type: no metric is called 'accuracy_metric'; did you mean 'accuracy_metrics'?",
        ),
        ("loggers.0.type=textlogger", "loggers.0.type: no logger is called 'textlogger'; did you mean 'TextLogger'?"),
        (
            "cl_strategy.plugins=[{'type': 'ReplayPlugn'}]",
            "cl_strategy.plugins.0.type: no plugin is called 'ReplayPlugn'; did you mean 'ReplayPlugin'?",
        ),
        ("cl_strategy.type=zzz", "cl_strategy.type: no strategy is called 'zzz'"),
        ("cl_strategy.type=5", "cl_strategy.type: type is 5, expected the name of a strategy"),
        ("cl_strategy.optimizer.type=LBFGS", "optimizer 'LBFGS' cannot be used: it needs a closure"),
        ("cl_strategy.optimizer={'lr': 0.1}", "cl_strategy.optimizer: type is missing, expected the name of"),
        # arguments
        (
            "cl_strategy.optimizer.momentm=0.9",
            "cl_strategy.optimizer.momentm: SGD has no argument 'momentm'; did you mean 'momentum'?",
        ),
        (
            "cl_strategy.train_epoch=3",
            "cl_strategy.train_epoch: Naive has no argument 'train_epoch'; did you mean 'train_epochs'?",
        ),
        ("cl_strategy.model=3", "cl_strategy.model: Naive has no argument 'model'"),
        ("cl_strategy.optimiser={'type': 'SGD'}", "did you mean 'optimizer'?"),
        (
            "scenario.train_transform.0.prob=0.5",
            "scenario.train_transform.0.prob: RandomHorizontalFlip has no argument 'prob'",
        ),
        ("model.backbone.deph=18", "model.backbone.deph: ResNet has no argument 'deph'; did you mean 'depth'?"),
        ("model.backbone={'type': 'ResNet'}", "model.backbone: ResNet needs the argument 'depth'"),
        (
            "model.head={'type': 'LinearClsHead', 'num_classes': 3}",
            "model.head: LinearClsHead needs the argument 'in_channels'",
        ),
        ("cl_strategy.scheduler={'type': 'StepLR'}", "cl_strategy.scheduler: StepLR needs the argument 'step_size'"),
        # keys
        ("scenario.datset_root=x", "scenario.datset_root: scenario has no such key; did you mean 'dataset_root'?"),
        ("model.bakbone={'type': 'ResNet'}", "model.bakbone: model has no such key; did you mean 'backbone'?"),
        (
            "checkpoint_config={'intervall': 2}",
            "checkpoint_config.intervall: checkpoint_config has no such key; did you mean 'interval'?",
        ),
        ("data={'worker': 2}", "data.worker: data has no such key; did you mean 'workers'?"),
        ("wrok_dir=runs", "wrok_dir: unknown section; did you mean 'work_dir'?"),
        ("anything=1", "anything: unknown section"),
        # values
        ("scenario.seed=None", "scenario.seed: the iid protocol needs the seed of a split, such as seed=0"),
        ("scenario.evaluation_protocol=idd", "found 'idd', expected 'streaming' or 'iid'; did you mean 'iid'?"),
        (
            "scenario.task_labels=buckets",
            "scenario.task_labels: found 'buckets', expected 'single' or 'bucket'; did you mean 'bucket'?",
        ),
        ("scenario.task_labels=[0, 1]", "scenario.task_labels: found [0, 1], expected 'single' or 'bucket'"),
        ("scenario.task_label=bucket", "scenario has no such key; did you mean 'task_labels'?"),
        ("scenario.dataset_type=CORE50", "scenario.dataset_type: found 'CORE50', expected 'CLEAR'"),
        ("scenario.dataset_root=5", "scenario.dataset_root: found 5, expected a str"),
        ("scenario.shot=0", "scenario.shot: found 0, expected a whole number from 1"),
        ("scenario.test_ratio=30", "scenario.test_ratio: found 30, expected a fraction such as 0.3"),
        ("scenario.buckets=3", "scenario.buckets: found 3, expected a list of bucket names, or text such as '1-5'"),
        (
            "scenario.buckets=2-1",
            "scenario.buckets: found '2-1', expected a list of bucket names, or text such as '1-5'",
        ),
        ("scenario.classes=camera", "scenario.classes: found 'camera', expected a list of class names"),
        ("scenario.drop_classes=[3]", "scenario.drop_classes: found [3], expected a list of class names"),
        ("scenario.classes=['a', 'a']", "scenario.classes: found 'a' more than once: list each once"),
        ("scenario.max_per_class=0", "scenario.max_per_class: found 0, expected a whole number from 1"),
        (
            "scenario.train_transform={'type': 'ToTensor'}",
            "scenario.train_transform: found {'type': 'ToTensor'}, expected a list",
        ),
        ("cl_strategy.train_epochs=2.0", "cl_strategy.train_epochs: found 2.0, expected"),
        ("cl_strategy.train_mb_size=0", "cl_strategy.train_mb_size: found 0, expected a whole number from 1"),
        ("cl_strategy.train_mb_size=True", "cl_strategy.train_mb_size: found True, expected a whole number from 1"),
        ("cl_strategy.optimizer.lr=fast", "cl_strategy.optimizer.lr: found 'fast', expected float"),
        ("cl_strategy.optimizer=SGD", "cl_strategy.optimizer: found 'SGD', expected a dict"),
        ("cl_strategy.optimizer=None", "cl_strategy.optimizer: missing, such as optimizer=dict(type='SGD', lr=0.01)"),
        ("checkpoint_config={'interval': 0}", "checkpoint_config.interval: found 0, expected a whole number from 1"),
        *[
            (
                f"checkpoint_config={{'state_every': {value!r}}}",
                f"checkpoint_config.state_every: found {value!r}, expected 'epoch', 'bucket' or a number of seconds",
            )
            for value in ("epcoh", "10", 0, -5, True, None, [60])
        ],
        ("data={'workers': -1}", "data.workers: found -1, expected a whole number from 0"),
        ("seed=-1", "seed: found -1, expected a whole number from 0"),
        ("seed=abc", "seed: found 'abc', expected a whole number from 0"),
        ("work_dir=5", "work_dir: found 5, expected a str"),
        ("metrics={}", "metrics: found {}, expected a list"),
        ("loggers=TextLogger", "loggers: found 'TextLogger', expected a list"),
        ("model=None", "model: this section is missing"),
        ("model=resnet", "model: found 'resnet', expected a dict"),
        ("model={}", "model: expected a head, such as head=dict("),
        (
            "model.torchmodel={'type': 'Linear', 'in_features': 1, 'out_features': 2}",
            "model.torchmodel: cannot be combined",
        ),
        (
            "model.freeze=['bakbone']",
            "model.freeze: found 'bakbone', expected 'backbone' or 'neck' or 'head'; did you mean 'backbone'?",
        ),
        ("model.freeze=backbone", "model.freeze: found 'backbone', expected a list"),
    ],
)
def test_one_fault_is_found_where_it_is(override: str, message: str, tiny_config: Path) -> None:
    found = faults(tiny_config, override)
    assert len([line for line in found if message in line]) == 1, found
    assert all(line.startswith("--set: ") or "this section is missing" in line for line in found)
    key = override.partition("=")[0]
    assert all(re.match(rf"--set: {key.partition('.')[0]}\b", line) for line in found)


def test_few_shot_needs_the_iid_protocol(tiny_config: Path) -> None:
    found = faults(tiny_config, "scenario.evaluation_protocol=streaming", "scenario.shot=5")
    assert found == ["--set: scenario.shot: a few-shot split needs evaluation_protocol='iid'"]


def test_all_faults_at_once_each_with_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text(
        "cl_strategy = dict(type='Naiv', train_epochs=0, optimizer=dict(type='SGD', lr=0.1))\n"
        "model = dict(head=dict(type='LinearClsHead', num_classes=3))\n"
    )
    Path("top.py").write_text(
        "_base_ = 'base.py'\nscenario = dict(evaluation_protocol='iid', shoot=5)\n"
        "wrok_dir = 'runs'\nmodels = 3\nmetrics = [dict(type='loss_metrics', epochs=True)]\n"
    )
    with pytest.raises(ConfigError) as caught:
        require(load("top.py", ["cl_strategy.optimizer.momentm=0.9"]), CATALOGUE)
    assert str(caught.value).split("\n") == [
        "top.py: wrok_dir: unknown section; did you mean 'work_dir'?",
        "top.py: scenario.shoot: scenario has no such key; did you mean 'shot'?",
        "top.py: scenario.seed: the iid protocol needs the seed of a split, such as seed=0",
        "base.py: model.head: LinearClsHead needs the argument 'in_channels'",
        "base.py: cl_strategy.type: no strategy is called 'Naiv'; did you mean 'Naive'?",
        "base.py: cl_strategy.train_epochs: found 0, expected a whole number from 1",
        "--set: cl_strategy.optimizer.momentm: SGD has no argument 'momentm'; did you mean 'momentum'?",
        "top.py: metrics.0.epochs: loss_metrics has no argument 'epochs'; did you mean 'epoch'?",
    ]
    assert caught.value.exit_code == 3


def test_variables_of_a_config_are_no_sections(tmp_path: Path, tiny_config: Path) -> None:
    file = tmp_path / "top.py"
    file.write_text(
        f"_base_ = {str(tiny_config)!r}\nimg_norm_cfg = dict(a=1)\nname = 'x'\nmodels = 3\nbatch_size = 4\n"
    )
    assert faults(file) == []


@pytest.mark.parametrize("missing", ["scenario", "model", "cl_strategy"])
def test_missing_section(missing: str, tmp_path: Path, tiny_config: Path) -> None:
    values = load(tiny_config).values
    del values[missing]
    file = tmp_path / "top.py"
    file.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    assert faults(file) == [f"{file}: {missing}: this section is missing"]


@pytest.mark.parametrize("every", ["epoch", "bucket", 1, 600, 0.5])
def test_when_states_are_saved(every: object, tiny_config: Path) -> None:
    assert faults(tiny_config, f"checkpoint_config={{'interval': 2, 'state_every': {every!r}}}") == []


def test_values_that_are_right_in_another_form_are_accepted(tiny_config: Path) -> None:
    overrides = (
        "cl_strategy.optimizer.lr=1",
        "cl_strategy.optimizer.weight_decay=0",
        "cl_strategy.eval_every=-1",
        "cl_strategy.plugins=[{'type': 'ReplayPlugin', 'mem_size': 20}]",
        "scenario.train_transform.0.p=1",
        "scenario.buckets=[0, 1]",
        "load_from=None",
        "model.freeze=['backbone', 'neck']",
        "model.init_cfg={'type': 'Normal', 'layer': 'Linear', 'std': 0.1}",
    )
    assert faults(tiny_config, *overrides) == []


def test_an_argument_left_over_from_another_type(tmp_path: Path, features_config: Path) -> None:
    (tmp_path / "base.py").write_text(
        f"_base_ = [{str(features_config)!r}]\ncl_strategy = dict(optimizer=dict(momentum=0.9))\n"
    )
    child = tmp_path / "child.py"
    child.write_text("_base_ = ['base.py']\ncl_strategy = dict(optimizer=dict(type='Adam', lr=0.1))\n")
    [fault] = faults(child)
    base = str(tmp_path / "base.py")
    assert fault == (
        f"{base}: cl_strategy.optimizer.momentum: Adam has no argument 'momentum', which {base} gives for another"
        " type: write dict(_delete_=True, type='Adam', ...)"
    )
    child.write_text("_base_ = ['base.py']\ncl_strategy = dict(optimizer=dict(_delete_=True, type='Adam', lr=0.1))\n")
    assert faults(child) == []
    [fault] = faults(tmp_path / "base.py", "cl_strategy.optimizer.type=Adam")
    assert fault.endswith("""for another type: --set cl_strategy.optimizer="{'type': 'Adam', ...}" replaces both""")
    given = "{'type': 'Adam', 'lr': 0.1}"
    assert faults(tmp_path / "base.py", f"cl_strategy.optimizer={given}") == []
