"""The words of the command that another one ends with: what is sensible next, as it can be copied."""

from pathlib import Path

from clearctl import layout
from clearctl.cli.console import output


def in_dataset(root: Path) -> list[str]:
    """`--dataset-root DIR`, or nothing if a command uses that folder by default."""
    return [] if root.resolve() == layout.default_root().resolve() else ["--dataset-root", nearby(root)]


def training_config(root: Path) -> str:
    """The shipped config that trains on the images of a dataset folder: the demo's own on its stream, else any's."""
    return "quickstart" if layout.demo_stamp_file(root).is_file() else "own_data"


def nearby(path: Path) -> str:
    """`path` relative to the current folder, if it is in there."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and here in path.parents else str(path)


def same_command(*without: str) -> list[str]:
    """The present command as it was given, but `without` some of its options, such as dry_run."""
    context = output.context
    names, outer = [str(context.info_name)], context.parent
    while outer.parent is not None:
        names.insert(0, str(outer.info_name))
        outer = outer.parent
    arguments, options = list[str](), list[str]()
    for parameter in context.command.params:
        if parameter.name in without or context.get_parameter_source(parameter.name).name != "COMMANDLINE":
            continue
        value = context.params[parameter.name]
        values = list(value) if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            arguments += map(str, values)
        elif isinstance(value, bool):
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
        elif parameter.nargs > 1:
            options += [parameter.opts[0], *map(str, values)]
        else:
            options += [word for each in values for word in (parameter.opts[0], str(each))]
    return [*names, *arguments, *options]
