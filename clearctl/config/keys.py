"""The sections and keys of a config: what each takes, its default and what it means.

The check accepts only these keys, and docs/config.md is generated from them. Keys that are arguments of a class named
by `type=` are not listed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clearctl.data_names import DATA_NAMES

PROTOCOLS = ("streaming", "iid")
TASK_LABELS = ("single", "bucket")
EVALUATE_ON = ("test", "validation")
# The word for the dimension of scenario.feature_type, and the arguments of parts of the model that accept it.
FEATURES = "features"
WIDTHS = {"head": "in_channels", "torchmodel": "in_features"}
OF_LEFT_OUT = "auroc_metrics"  # the metric that needs images of classes that the stream leaves out
PARTS = ("backbone", "neck", "head")
UNITS = ("epoch", "step", "bucket")
WATCHED = ("train_loss", "validation_loss")
PRECISIONS = ("fp32", "bf16", "fp16")
LOADERS = ("auto", "resident", "mapped", "workers")
CACHES = ("auto", "off", "ram", "disk")
GRAPHS = ("auto", "off")


@dataclass(frozen=True)
class Key:
    """One key: what it `takes`, in words; its `default`, None if there is none; what it means.

    `own`: clearctl added the key to those of Avalanche, mmcls, mmcv and torch.
    """

    takes: str
    default: Any
    meaning: str
    required: bool = False
    own: bool = False


Keys = Mapping[str, Key]


def _choice(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name!r}`" for name in names)


SCENARIO: Keys = {
    "dataset_type": Key("`'CLEAR'`", "CLEAR", "the only value"),
    "data_name": Key(
        "str",
        None,
        f"{', '.join(f'`{name!r}`' for name in DATA_NAMES)}: the CLEAR dataset, which determines the default"
        " folder, the number of classes and the possible buckets; give your own dataset another name, or"
        " none",
    ),
    "dataset_root": Key(
        "str",
        None,
        "the dataset folder; `--dataset-root` overrides it; without both it is `$CLEARCTL_DATASET_ROOT`, else that"
        " of `data_name`: `dataset/CLEAR-10-PUBLIC`, also without a name, or `dataset/CLEAR-100-PUBLIC`",
    ),
    "evaluation_protocol": Key(
        _choice(PROTOCOLS),
        "streaming",
        "`streaming` trains and tests on all images of each bucket, `iid` on the two parts of a split",
    ),
    "seed": Key("int from 0", None, "the seed of the split, required for `iid`; not the seed of the run"),
    "shot": Key("int from 1", None, "with `iid`: use the few-shot split with so many images per class", own=True),
    "test_ratio": Key(
        "float between 0 and 1", 0.3, "with `iid`: use the split with this fraction of test images", own=True
    ),
    "feature_type": Key("str", None, "the name of extracted features to train on instead of images"),
    "train_transform": Key("list of calls", [], "transforms of training images; not used for features"),
    "eval_transform": Key("list of calls", [], "transforms of test images; not used for features"),
    "buckets": Key(
        "list of names, or text such as `'1-5'` or `'1,3-5'`",
        None,
        "the buckets of the stream, in this order; by default all that are prepared",
        own=True,
    ),
    "classes": Key(
        "list of names",
        None,
        "the classes of the stream; by default all. Class indices follow: 0, 1, ... in the order of class_names.txt",
        own=True,
    ),
    "drop_classes": Key("list of names", [], "classes to leave out of the stream, such as BACKGROUND", own=True),
    "max_per_class": Key(
        "int from 1",
        None,
        "train on at most this number of images of each class of a bucket, drawn by `seed` (default 0); the test"
        " images stay the same",
        own=True,
    ),
    "validation": Key(
        "float between 0 and 1",
        None,
        "hold out this fraction of each class of a bucket's training images, drawn by `seed`. This part is tested"
        " like the test part, plugins can watch it ([validation.md](validation.md)), and it is not trained on"
        " nor, with `streaming`, part of the test images",
        own=True,
    ),
    "evaluate_on": Key(
        _choice(EVALUATE_ON),
        "test",
        "`validation` tests on the images that `validation` holds out, and reads no test image: for choosing settings",
        own=True,
    ),
    "task_labels": Key(
        _choice(TASK_LABELS),
        "single",
        "`single` gives every sample the task label 0, `bucket` those of bucket i (from 0) the label i, as Avalanche's"
        " `CLEAR` does; names of metrics and the batches of Cumulative, JointTraining, GDumb and ICaRL depend on it:"
        " [coming-from.md](coming-from.md#task-labels)",
        own=True,
    ),
}

MODEL: Keys = {
    "type": Key("`'ImageClassifier'`", "ImageClassifier", "the only value, as in mmcls's configs"),
    "backbone": Key("call", None, "from images to features; leave it out if the samples are features"),
    "neck": Key("call or list of calls", None, "from feature maps to vectors"),
    "head": Key("call", None, "from vectors to class scores; this or `torchmodel` is required"),
    "torchmodel": Key("call", None, "one module of torch.nn instead of backbone, neck and head"),
    "pretrained": Key("str", None, "a local checkpoint file for the whole network, as for `load_from`"),
    "init_cfg": Key("dict or list of dicts", None, "mmcv's initialisation; backbone, neck and head may have their own"),
    "train_cfg": Key("`dict(augments=...)`", None, "mmcls's augmentations of whole batches, one call or a list"),
    "freeze": Key(f"list of {_choice(PARTS)}", [], "parts whose weights and running means are not trained", own=True),
}

STRATEGY: Keys = {
    "optimizer": Key("call", None, "required, except for strategies that learn without one"),
    "scheduler": Key("call", None, "steps the learning rate; see its own keys below"),
    "loss": Key(
        "call",
        None,
        "by default the loss of `model.head` if the config gives one, else the strategy's, mostly cross-entropy",
    ),
    "plugins": Key("list of calls", [], "plugins of the strategy, called in this order"),
    "eval_every_steps": Key(
        "int from 1",
        None,
        "also test every bucket each time this number of steps has passed in the run, for the anytime accuracy of"
        " online learning ([online.md](online.md)); needs `train_epochs=1`",
        own=True,
    ),
}

# Avalanche's arguments that every strategy takes, unless its own row says otherwise.
EVERY_STRATEGY: Keys = {
    "train_mb_size": Key("int from 1", 1, "samples per training step"),
    "train_epochs": Key("int from 1", 1, "epochs for each bucket"),
    "eval_mb_size": Key(
        "int from 1", None, "samples per test step; by default 1 or `train_mb_size`, depending on the strategy"
    ),
    "eval_every": Key(
        "int",
        -1,
        "also test every bucket during training: -1 never, 0 at the end of a bucket, k also after every k epochs;"
        " not needed for the matrix, and without effect on the weights",
    ),
    "peval_mode": Key("`'epoch'` or `'iteration'`", "epoch", "what `eval_every` counts"),
}

SCHEDULER: Keys = {
    "by": Key(_choice(UNITS), "epoch", "when it steps: after each epoch, step or bucket", own=True),
    "reset": Key(
        "bool",
        None,
        "whether each bucket starts with the initial learning rate; True by default, except for `by='bucket'`",
        own=True,
    ),
    "watch": Key(
        _choice(WATCHED),
        "train_loss",
        "what ReduceLROnPlateau watches; `validation_loss` needs `scenario.validation`",
        own=True,
    ),
}

CHECKPOINTS: Keys = {
    "interval": Key("int from 1", 1, "save the weights each time this number of buckets is done, and after the last"),
    "state_every": Key(
        "`'epoch'`, `'bucket'` or seconds",
        "epoch",
        "how often to save the state that a run is resumed from",
        own=True,
    ),
}

DATA: Keys = {
    "workers": Key(
        "int from 0",
        0,
        "worker processes that read images; features need none, and images that stay on a GPU only get the random"
        " numbers that such processes would draw",
    ),
    "loader": Key(
        _choice(LOADERS),
        "auto",
        "`auto` decodes images once and keeps features, and on a GPU decoded images, on the device, like `resident`;"
        " what does not fit is read batch by batch, like `mapped`; `workers` uses Avalanche's and torch's loaders",
    ),
    "cache": Key(
        _choice(CACHES),
        "auto",
        "where to keep decoded images; `auto` chooses the disk, else memory, else neither, by the free space",
    ),
    "cache_dir": Key(
        "str", None, "the folder for decoded images; by default the dataset's `training_folder/image_cache`"
    ),
    "batch_per_rank": Key(
        "bool",
        False,
        "with several processes: `train_mb_size`, `eval_mb_size` and `batch_size_mem` apply to each process, not to the"
        " whole batch",
    ),
    "graph": Key(
        _choice(GRAPHS),
        "off",
        "`auto` captures the training steps of a stack of `sweep` on a GPU in CUDA graphs; not tested yet on a GPU"
        " for equal results ([performance.md](performance.md#a-step-as-a-cuda-graph))",
    ),
}

CUSTOM_IMPORTS: Keys = {
    "imports": Key("list of str", [], "modules to import, in this order"),
    "allow_failed_imports": Key("bool", False, "skip modules that cannot be imported"),
    "folders": Key(
        "list of str", None, "folders of modules that are not installed; by default that of the config file", own=True
    ),
}

TOP: Keys = {
    "scenario": Key("dict", None, "the stream of buckets", required=True),
    "model": Key("dict", None, "the network", required=True),
    "loggers": Key("list of calls", [], "where metrics go"),
    "metrics": Key("list of calls", [], "what is measured besides the accuracy matrix"),
    "cl_strategy": Key("dict", None, "the strategy, its optimizer and plugins", required=True),
    "work_dir": Key("str", "work_dirs", "the folder for run folders; `--work-dir` overrides it"),
    "checkpoint_config": Key("dict", None, "what a run saves, and how often"),
    "custom_imports": Key(
        "dict",
        None,
        "`imports`: your own modules, next to the config or installed, which are imported before any name is looked"
        " up ([extending.md](extending.md))",
    ),
    "load_from": Key(
        "str",
        None,
        "a checkpoint file to start a new run from: of a run (its head may differ), or raw from mmcls,"
        " torchvision, MoCo, BYOL or DINO",
    ),
    "dialect": Key(
        "`'clearctl'` or `'clear_avalanche_mmlab'`",
        None,
        "which defaults apply: the second has those of the scripts that CLEAR's configs were written for,"
        " and without this key `config check` and `train` print a notice for each difference; see"
        " [coming-from.md](coming-from.md)",
        own=True,
    ),
    "seed": Key(
        "int from 0",
        0,
        "seeds Python, NumPy and torch before the network is built; `--seed` overrides it",
        own=True,
    ),
    "data": Key("dict", None, "how samples are read", own=True),
    "precision": Key(
        _choice(PRECISIONS),
        "fp32",
        "the network's number format; `--precision` overrides it",
        own=True,
    ),
    "compile": Key("bool", False, "apply torch.compile to backbone and neck", own=True),
    "channels_last": Key("bool", False, "use the channels-last memory format for images and filters", own=True),
    "tf32": Key("bool", False, "matrix products and convolutions with 10-bit mantissas, on CUDA only", own=True),
    "sync_bn": Key(
        "bool",
        False,
        "with several processes: batch norms over the samples of all of them",
        own=True,
    ),
    "deterministic": Key("bool", False, "use only torch's deterministic algorithms", own=True),
    "stop_on_divergence": Key(
        "bool",
        False,
        "stop the run with exit code 5 if a loss or a weight is not finite; otherwise only warn",
        own=True,
    ),
}
