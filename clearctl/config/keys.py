"""The sections and keys of a config: what each takes, its default and what it means.

The check knows no other keys than these, and docs/config.md is made from them. Keys that are arguments of a class named
by `type=` are not here: they are the class's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clearctl.data_names import DATA_NAMES

PROTOCOLS = ("streaming", "iid")
TASK_LABELS = ("single", "bucket")
EVALUATE_ON = ("test", "validation")
# What these arguments of these parts of the model may be instead of a number: the dimension of scenario.feature_type.
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
    """One key: what it `takes`, in words; its `default`, None where nothing takes its place; what it means.

    `own` are keys that clearctl has added to those of Avalanche, mmcls, mmcv and torch.
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
    "dataset_type": Key("`'CLEAR'`", "CLEAR", "there is no other"),
    "data_name": Key(
        "str",
        None,
        f"{', '.join(f'`{name!r}`' for name in DATA_NAMES)}: which of CLEAR's datasets it is, which settles the default"
        " folder, the number of classes and the buckets that there may be; a dataset of your own has another name, or"
        " none",
    ),
    "dataset_root": Key(
        "str",
        None,
        "the dataset folder; `--dataset-root` wins over it, and without both it is `$CLEARCTL_DATASET_ROOT`, else that"
        " of `data_name`: `dataset/CLEAR-10-PUBLIC`, also without a name, or `dataset/CLEAR-100-PUBLIC`",
    ),
    "evaluation_protocol": Key(
        _choice(PROTOCOLS),
        "streaming",
        "`streaming` trains and tests on all of each bucket, `iid` on the two parts of a split of it",
    ),
    "seed": Key("int from 0", None, "the split of the iid protocol, which needs it; not the seed of the run"),
    "shot": Key("int from 1", None, "with `iid`: the few-shot split of so many images a class", own=True),
    "test_ratio": Key(
        "float between 0 and 1", 0.3, "with `iid`: which split, by the part of a bucket that is tested on", own=True
    ),
    "feature_type": Key("str", None, "the name of extracted features, which then are the samples instead of images"),
    "train_transform": Key("list of calls", [], "what is done to an image that is learned; plays no part for features"),
    "eval_transform": Key("list of calls", [], "what is done to an image that is tested; plays no part for features"),
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
    "drop_classes": Key("list of names", [], "classes that the stream is to be without, such as BACKGROUND", own=True),
    "max_per_class": Key(
        "int from 1",
        None,
        "train on so many images of each class of a bucket at most, drawn by `seed` (0 where there is none); what is"
        " tested on stays",
        own=True,
    ),
    "validation": Key(
        "float between 0 and 1",
        None,
        "hold so much of each class of a bucket's training part out, drawn by `seed`, as a third part that is tested"
        " beside the test part and that plugins can watch ([validation.md](validation.md)); it is neither trained on"
        " nor, with `streaming`, tested on",
        own=True,
    ),
    "evaluate_on": Key(
        _choice(EVALUATE_ON),
        "test",
        "`validation` tests on what `validation` holds out instead, and reads no test image: to choose settings by",
        own=True,
    ),
    "task_labels": Key(
        _choice(TASK_LABELS),
        "single",
        "`single` gives every sample the task label 0, `bucket` those of bucket i, from 0, the label i, as Avalanche's"
        " `CLEAR` does; names of metrics and the batches of Cumulative, JointTraining, GDumb and ICaRL depend on it:"
        " [coming-from.md](coming-from.md#task-labels)",
        own=True,
    ),
}

MODEL: Keys = {
    "type": Key("`'ImageClassifier'`", "ImageClassifier", "there is no other; as mmcls's configs have it"),
    "backbone": Key("call", None, "from images to features; left out where the samples are features"),
    "neck": Key("call or list of calls", None, "from feature maps to vectors"),
    "head": Key("call", None, "from vectors to class scores; this or `torchmodel` is needed"),
    "torchmodel": Key("call", None, "one module of torch.nn in place of backbone, neck and head"),
    "pretrained": Key("str", None, "a checkpoint file for the whole network, as for `load_from`; nothing is fetched"),
    "init_cfg": Key("dict or list of dicts", None, "mmcv's initialisation; backbone, neck and head may have their own"),
    "train_cfg": Key("`dict(augments=...)`", None, "mmcls's augmentations of whole batches, one call or a list"),
    "freeze": Key(f"list of {_choice(PARTS)}", [], "parts whose weights and running means stay as they are", own=True),
}

STRATEGY: Keys = {
    "optimizer": Key("call", None, "needed, but by strategies that learn without one"),
    "scheduler": Key("call", None, "steps the learning rate; see its own keys below"),
    "loss": Key(
        "call",
        None,
        "by default that of `model.head`, if the config gives one, else the strategy's own, mostly cross-entropy",
    ),
    "plugins": Key("list of calls", [], "what else acts on training, in this order"),
    "eval_every_steps": Key(
        "int from 1",
        None,
        "also tests every bucket after every so many steps, counted over the whole run, for the anytime accuracy of"
        " online learning ([online.md](online.md)); it needs `train_epochs=1`",
        own=True,
    ),
}

# Arguments of Avalanche's that every strategy takes, unless its own row says otherwise.
EVERY_STRATEGY: Keys = {
    "train_mb_size": Key("int from 1", 1, "samples in a step of training"),
    "train_epochs": Key("int from 1", 1, "epochs for each bucket"),
    "eval_mb_size": Key(
        "int from 1", None, "samples in a step of a test; by default one, or `train_mb_size`, as the strategy has it"
    ),
    "eval_every": Key(
        "int",
        -1,
        "also tests every bucket in training: -1 never, 0 at the end of a bucket, k also after every k epochs;"
        " the matrix does not need it, and the weights do not change by it",
    ),
    "peval_mode": Key("`'epoch'` or `'iteration'`", "epoch", "what `eval_every` counts"),
}

SCHEDULER: Keys = {
    "by": Key(_choice(UNITS), "epoch", "after what it steps", own=True),
    "reset": Key(
        "bool",
        None,
        "whether each bucket begins with the first learning rate; True by default, but for `by='bucket'`",
        own=True,
    ),
    "watch": Key(
        _choice(WATCHED),
        "train_loss",
        "what ReduceLROnPlateau looks at; `validation_loss` needs `scenario.validation`",
        own=True,
    ),
}

CHECKPOINTS: Keys = {
    "interval": Key("int from 1", 1, "weights are kept after every so many buckets, and after the last"),
    "state_every": Key(
        "`'epoch'`, `'bucket'` or seconds",
        "epoch",
        "how often the state is saved from which a run is resumed",
        own=True,
    ),
}

DATA: Keys = {
    "workers": Key("int from 0", 0, "processes that read images; resident features need none"),
    "loader": Key(
        _choice(LOADERS),
        "auto",
        "`auto` decodes images once and keeps features on the device, as `resident` does, but where they do not fit it"
        " gathers batches from their files, as `mapped` does; `workers` leaves all to Avalanche's and torch's loaders",
    ),
    "cache": Key(
        _choice(CACHES),
        "auto",
        "where decoded images are kept; `auto` takes the disk, else memory, else none, by the room there is",
    ),
    "cache_dir": Key("str", None, "the folder for them, instead of the dataset's `training_folder/image_cache`"),
    "batch_per_rank": Key(
        "bool",
        False,
        "with several processes: `train_mb_size`, `eval_mb_size` and `batch_size_mem` are of each of them, not of the"
        " whole batch",
    ),
    "graph": Key(
        _choice(GRAPHS),
        "off",
        "`auto` captures the training steps of a stack of `sweep` on a GPU in CUDA graphs; no GPU has yet shown"
        " that this leaves the results equal ([performance.md](performance.md#a-step-as-a-cuda-graph))",
    ),
}

CUSTOM_IMPORTS: Keys = {
    "imports": Key("list of str", [], "modules to import, in this order"),
    "allow_failed_imports": Key("bool", False, "leave out one that cannot be imported"),
    "folders": Key(
        "list of str", None, "where modules lie that are not installed; by default beside the config file", own=True
    ),
}

TOP: Keys = {
    "scenario": Key("dict", None, "the stream of buckets", required=True),
    "model": Key("dict", None, "the network", required=True),
    "loggers": Key("list of calls", [], "where metrics go"),
    "metrics": Key("list of calls", [], "what is measured besides the accuracy matrix"),
    "cl_strategy": Key("dict", None, "how it learns", required=True),
    "work_dir": Key("str", "work_dirs", "the folder in which a run makes its own; `--work-dir` wins"),
    "checkpoint_config": Key("dict", None, "what is kept on the way"),
    "custom_imports": Key(
        "dict",
        None,
        "`imports`: modules of your own, beside the config or installed, which are imported before anything is looked"
        " up ([extending.md](extending.md))",
    ),
    "load_from": Key(
        "str",
        None,
        "a checkpoint file with which a new run starts: of a run (its head may be another), or raw from mmcls,"
        " torchvision, MoCo, BYOL or DINO",
    ),
    "dialect": Key(
        "`'clearctl'` or `'clear_avalanche_mmlab'`",
        None,
        "whose defaults the config means: the second has those of the scripts that CLEAR's configs were written for,"
        " and without the key `config check` and `train` print a notice for each difference; see"
        " [coming-from.md](coming-from.md)",
        own=True,
    ),
    "seed": Key(
        "int from 0", 0, "seeds Python, NumPy and torch, once, before the network is built; `--seed` wins", own=True
    ),
    "data": Key("dict", None, "how samples are read", own=True),
    "precision": Key(_choice(PRECISIONS), "fp32", "what the network computes in; `--precision` wins", own=True),
    "compile": Key("bool", False, "torch.compile of backbone and neck", own=True),
    "channels_last": Key("bool", False, "images and filters in the order that convolutions read best", own=True),
    "tf32": Key("bool", False, "matrix products and convolutions with 10-bit mantissas, on CUDA alone", own=True),
    "sync_bn": Key(
        "bool", False, "with several processes: batch norms over the samples of all, not of each by itself", own=True
    ),
    "deterministic": Key("bool", False, "torch's deterministic algorithms alone", own=True),
    "stop_on_divergence": Key(
        "bool",
        False,
        "end the run, with exit code 5, where a loss or a weight is not finite; without it a warning says so",
        own=True,
    ),
}
