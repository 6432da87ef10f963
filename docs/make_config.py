"""Write docs/config.md from the code: python docs/make_config.py (`make docs`).

Keys come from clearctl/config/keys.py, names and arguments from the registries and signatures that configs are checked
against, and descriptions of classes from the first sentence of their docstrings.
"""

import importlib.metadata
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clearctl.config import keys
from clearctl.config.check import FILLED_LOGGER
from clearctl.config.check_strategy import FILLED_STRATEGY
from clearctl.config.findings import expected_types, type_names
from clearctl.config.keys import Key, Keys
from clearctl.config.published import OF_DATASET
from clearctl.config.ranges import FINITE, OF_CLASS, RANGES
from clearctl.config.registry import Factory, Parameter, Registry, parameters
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.listing import meaning

PAGE = Path(__file__).with_name("config.md")
OF_EVERY_HEAD = ("loss", "topk", "cal_acc", "init_cfg")
# Whose names and signatures are on the page, beside clearctl's own.
LIBRARIES = ("avalanche-lib", "mmcls", "mmcv", "torch", "torchvision")

HEAD = """\
# Config reference

A config is a Python file. Its variables with the names below are its sections; other variables are only used while the
file is read. `_base_` is a file, or a list of files, that it builds on: a key given again replaces theirs, and a dict
with `_delete_=True` replaces theirs completely. `--set key.path=value` replaces one value; a number in the path is an
index of a list. `{{ _base_.name }}`, alone and outside quotes, is the value of a base's key. The `config.py` of a run
folder is read as literals and never executed. `clearctl config check CONFIG...` checks a config against this page.

A *call* is `dict(type='Name', ...)`: a name from the lists below, and arguments of that class. `type='module:Class'` is
a class of your own ([extending.md](extending.md)). The tables show the default of each argument, or its type if the
default is missing or None; **bold** arguments are required. An asterisk marks clearctl's own names, a plus a library
class that clearctl has fixed or extended. Arguments that can only be objects are left out.
"""

OF_BATCHES = """\
EWC, unless `importance='sample'`, and MAS compute importances from the gradients of batch means, so that a good
`ewc_lambda` or `lambda_reg` depends on `train_mb_size`."""

PLUGINS_NEED = """\
Plugins are checked for what they need. EarlyStoppingPlugin needs `eval_every` of 1 or more, a `patience` of at least
that, and a metric and stream that tests during training measure; it chooses by test data, including those of later
buckets. RWalkPlugin needs `delta_t` steps in the first bucket. Plugins that act on the loss, the gradients or the
learning rate of a step need a strategy with an optimizer, except MER, which makes its own steps. Only one plugin or
strategy can replace the loader (Replay, RAR, BiC), and only one plugin can decide which weights a bucket ends with."""


def page() -> str:
    """The text of docs/config.md."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    made = textwrap.fill(f"This page is made from the code by `make docs`, with {versions}.", 120)
    return "\n\n".join([HEAD.strip(), made, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    yield "## Top level"
    yield _table_of_keys(keys.TOP)
    yield "## scenario"
    yield _table_of_keys(keys.SCENARIO)
    yield _names("Transforms, of torchvision.transforms", CATALOGUE.transforms)
    yield (
        "RandomApply, RandomChoice and RandomOrder take calls in `transforms`. A member of an enumeration is given by\n"
        "its name: `interpolation='bicubic'`, `policy='cifar10'`."
    )
    yield "Transforms of images need a ToTensor or PILToTensor. Features are not transformed."
    yield "## model"
    yield _table_of_keys(keys.MODEL)
    yield "Either a `head`, alone on features or after a `backbone` on images, or a `torchmodel`, without the others."
    yield (
        "A number of classes (`num_classes` of a head, `out_features` of a `torchmodel`, and other arguments of that\n"
        f"kind) may be `{OF_DATASET!r}`: that of the dataset folder; the run's `config.py` then has the number."
    )
    yield f"Heads; each also takes {_code(OF_EVERY_HEAD)} of mmcls's ClsHead:"
    yield _classes("head", CATALOGUE.heads, library("mmcls.models.heads"), OF_EVERY_HEAD)
    for what, registry in (
        ("Backbones, of mmcls", CATALOGUE.backbones),
        ("Necks, of mmcls", CATALOGUE.necks),
        ("Batch augmentations, of mmcls", CATALOGUE.augments),
    ):
        yield _names(what, registry)
    yield (
        "`torchmodel` is any class of torch.nn, such as `dict(type='Linear', in_features=2048, out_features=11)`. Its\n"
        "`in_features`, and a head's `in_channels`, may be `'features'`: the dimension of `scenario.feature_type`.\n"
        "A `backbone` may be `dict(type='timm:NAME', pretrained=True)`, any model of timm ([features.md](features.md))."
    )
    yield from _strategy()
    yield "## metrics"
    yield "A list of calls. [formats.md](formats.md#evaljson) has the names of their values."
    yield _classes("metric", CATALOGUE.metrics, library("avalanche.evaluation.metrics"))
    yield "## loggers"
    yield "A list of calls. Files are in the run folder unless another path is given."
    yield _classes("logger", CATALOGUE.loggers, library("avalanche.logging"), filled=FILLED_LOGGER)
    yield "## custom_imports"
    yield _table_of_keys(keys.CUSTOM_IMPORTS)
    yield "## checkpoint_config"
    yield _table_of_keys(keys.CHECKPOINTS)
    yield "## data"
    yield _table_of_keys(keys.DATA)
    yield "[performance.md](performance.md) has their gains and costs."
    yield "## Ranges"
    yield (
        "Numbers must be finite and in these ranges, also each number of a list or dict. Arguments of a class of your\n"
        "own are not checked."
    )
    yield _ranges()


def _strategy() -> Iterator[str]:
    yield "## cl_strategy"
    yield "`type` and the arguments of the strategy, and these:"
    yield _table_of_keys(keys.STRATEGY)
    yield "Every strategy takes these of Avalanche's, unless its row says otherwise:"
    yield _table_of_keys(keys.EVERY_STRATEGY)
    yield "### Strategies"
    skipped = (*FILLED_STRATEGY, *keys.EVERY_STRATEGY)
    yield _classes("strategy", CATALOGUE.strategies, library("avalanche.training.supervised"), skipped, _lacks)
    yield _refused(CATALOGUE.strategies)
    yield OF_BATCHES
    yield "### Buffers"
    yield "`buffer` of a strategy is a call:"
    yield _classes("buffer", CATALOGUE.buffers, library("avalanche.training.storage_policy"))
    yield "### Plugins"
    yield _classes("plugin", CATALOGUE.plugins, library("avalanche.training.plugins"))
    yield _refused(CATALOGUE.plugins)
    yield PLUGINS_NEED
    yield "### Optimizers, schedulers, losses"
    yield _names("Optimizers, of torch.optim", CATALOGUE.optimizers)
    yield _refused(CATALOGUE.optimizers)
    yield _names("Schedulers, of torch.optim.lr_scheduler", CATALOGUE.schedulers)
    yield "A scheduler also takes these; a SequentialLR or ChainedScheduler takes calls in `schedulers`."
    yield _table_of_keys(keys.SCHEDULER)
    yield _names("Losses, of mmcls", CATALOGUE.losses)
    yield "### Combinations that are refused"
    yield "\n".join(
        f"- `{key}={value!r}` with {_code(name for name in reasons if reasons[name] == reason)}: {reason}."
        for (key, value), reasons in CATALOGUE.refused_with.items()
        for reason in dict.fromkeys(reasons.values())
    )


def _ranges() -> str:
    """A row for each kind of class and range, with the arguments that have it."""
    rows = []
    for kind, of_arguments in RANGES.items():
        for allowed in dict.fromkeys(of_arguments.values()):
            if allowed != FINITE:
                named = _code(name for name in of_arguments if of_arguments[name] == allowed)
                rows.append((kind, named, str(allowed)))
    rows += [(f"`{name}`", f"`{argument}`", str(allowed)) for (name, argument), allowed in OF_CLASS.items()]
    return _table(("of a", "arguments", "may be"), rows)


def library(module: str) -> Mapping[str, Any]:
    """{name: object} of a module of a library: names that are not in it are clearctl's own."""
    return vars(importlib.import_module(module))


def _table_of_keys(section: Keys) -> str:
    def row(name: str, key: Key) -> tuple[str, ...]:
        shown = f"`{name}`"
        default = "must be given" if key.required else "" if key.default is None else f"`{key.default!r}`"
        return (f"**{shown}**" if key.required else shown) + ("\\*" if key.own else ""), key.takes, default, key.meaning

    return _table(("key", "takes", "default", "meaning"), [row(name, key) for name, key in section.items()])


def _classes(
    what: str,
    registry: Registry,
    theirs: Mapping[str, Any],
    filled: Iterable[str] = (),
    remarks: typing.Callable[[Factory], list[str]] = lambda factory: [],
) -> str:
    """A table of the classes with the arguments that a config may give."""
    rows = []
    for name, factory in sorted(registry.classes.items(), key=lambda item: item[0].lower()):
        known = parameters(theirs[name])[0] if name in theirs else None
        accepted = {key: value for key, value in parameters(factory)[0].items() if key not in filled}
        shown = [
            _argument(parameter, own=known is not None and key not in known)
            for key, parameter in accepted.items()
            if _can_be_given(parameter)
        ]
        mark = "\\*" if known is None else "+" if _is_ours(factory) else ""
        rows.append((f"`{name}`{mark}", ", ".join([*shown, *remarks(factory)]), _text(meaning(name, factory))))
    return _table((what, "arguments", "what it is"), rows)


def _lacks(factory: Factory) -> list[str]:
    """What other strategies take and this one does not."""
    accepted = parameters(factory)[0]
    missing = [name for name in keys.EVERY_STRATEGY if name not in accepted]
    remarks = [f"no {_code(missing)}"] if missing else []
    if "optimizer" not in accepted:
        remarks.append("no optimizer and scheduler")
    if "criterion" not in accepted:
        remarks.append("no loss but its own")
    return remarks


def _is_ours(factory: Factory) -> bool:
    return getattr(factory, "__module__", "").startswith("clearctl")


def _argument(parameter: Parameter, *, own: bool) -> str:
    star = "\\*" if own else ""
    if parameter.required:
        kinds = _kinds(parameter)
        return f"**`{parameter.name}{': ' + kinds if kinds else ''}`**{star}"
    if parameter.default is None:
        return f"`{parameter.name}: {_kinds(parameter) or 'None'}`{star}"
    return f"`{parameter.name}={parameter.default!r}`{star}"


def _kinds(parameter: Parameter) -> str:
    kinds = type_names(expected_types(parameter))
    if "float" in kinds:
        kinds.remove("int")
    return " or ".join(kinds) or _annotated(parameter.annotation)


def _annotated(annotation: Any) -> str:
    """An annotation in words, without None; empty if it has no information."""
    if annotation in (inspect.Parameter.empty, Any):
        return ""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [_annotated(kind) for kind in typing.get_args(annotation) if kind is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    if isinstance(annotation, str):
        return annotation
    name = getattr(typing.get_origin(annotation) or annotation, "__name__", str(annotation))
    return {"Sequence": "list", "ExemplarsBuffer": "call"}.get(name, name)


def _can_be_given(parameter: Parameter) -> bool:
    """Whether a literal, or a call that clearctl builds, can fill it."""
    if parameter.name == "buffer" and parameter.annotation is not inspect.Parameter.empty:
        return "Buffer" in str(parameter.annotation)
    if callable(parameter.default) and not parameter.required:
        return False
    return not re.search(r"Buffer|Callable|Strategy|Module|Logger|Plugin|Sampler|IO\[", str(parameter.annotation))


def _names(what: str, registry: Registry) -> str:
    return textwrap.fill(f"{what}: {', '.join(sorted(registry.classes, key=str.lower))}.", 120, break_long_words=False)


def _refused(registry: Registry) -> str:
    """The names that exist and cannot be used, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in (registry.refused or {}).items():
        reasons.setdefault(reason, []).append(name)
    lines = [f"- {_code(names)}: {reason}" for reason, names in reasons.items()]
    return "Refused, with the reason:\n\n" + "\n".join(lines)


def _text(text: str) -> str:
    """`text` in a cell of a table."""
    return text.replace("|", "\\|")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
