"""`clearctl extract-features`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl import layout
from clearctl.cli.completion import config_names
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.launch import share_among
from clearctl.cli.next_commands import in_dataset
from clearctl.cli.options import Buckets, DatasetRoot, Device, Json, Nproc, parse_buckets, parse_pairs
from clearctl.errors import UsageError
from clearctl.units import duration, percent
from clearctl.wording import counted


@reporting_errors
def extract_features(
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="A model of torchvision, timm:NAME, open_clip:NAME/PRETRAINED or mmcls:TYPE. Default: resnet50.",
        ),
    ] = None,
    arch_arg: Annotated[
        list[str] | None,
        typer.Option("--arch-arg", metavar="KEY=VALUE", help="An argument of its constructor; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            autocompletion=config_names,
            help="Take model.backbone and scenario.eval_transform from a config.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the features. Default: the architecture.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Weights: of torchvision, timm, mmcls, MoCo, BYOL, DINO or a run; .safetensors too.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="default|none", help="Without --checkpoint: the library's weights, or random ones."
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option("--allow-partial", help="Continue though the checkpoint lacks some weights, which stay random."),
    ] = False,
    transform: Annotated[
        str | None,
        typer.Option(
            "--transform",
            metavar="published|model|FILE",
            help="CLEAR's (default: torchvision, mmcls), the weights' own (default: timm, open_clip), or a config's.",
        ),
    ] = None,
    dataset_root: DatasetRoot = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Arithmetic of the network.")
    ] = "fp32",
    fast: Annotated[
        bool | None,
        typer.Option(
            "--fast/--exact",
            help="Rewrite the network for speed, or compute as its library does. Default: exact for timm, open_clip.",
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network first: worth it from thousands of images on.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Images at once. Default: by device.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode. Default: by device.")] = None,
    cache: Annotated[
        str,
        typer.Option("--cache", metavar="auto|off", help="Read the decoded images of train's cache, or decode all."),
    ] = "auto",
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir", metavar="DIR", help="Where that cache is: the data.cache_dir of the runs, if they have one."
        ),
    ] = None,
    buckets: Buckets = None,
    layout_: Annotated[
        str, typer.Option("--layout", metavar="training|official", help="official: also one file for each class.")
    ] = "training",
    force: Annotated[
        bool, typer.Option("--force", help="Replace features of that name that were made with other settings.")
    ] = False,
    nproc: Nproc = 1,
    json: Json = False,
) -> None:
    """Extract the features of a frozen network for every image, to train on with scenario.feature_type.

    If it is killed, the same command continues.

    Example: `clearctl extract-features --arch resnet50`
    """
    if layout_ not in ("training", "official"):
        raise UsageError(f"--layout {layout_}: expected training or official")
    share_among(nproc)
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.extract.extract import extract_features as extract

    root = dataset_root or layout.default_root()
    with Display(output) as display:
        result = extract(
            root,
            arch=arch,
            arguments=parse_pairs(arch_arg or [], "--arch-arg"),
            config=config,
            name=name,
            checkpoint=checkpoint,
            weights=weights,
            allow_partial=allow_partial,
            transform=transform,
            device=device,
            precision=precision,
            fast=fast,
            compile=compile_,
            batch_size=batch_size,
            workers=workers,
            cache=cache,
            cache_dir=cache_dir,
            buckets=parse_buckets(buckets),
            official=layout_ == "official",
            force=force,
            listener=display.show,
        )
    waiting = result.waiting_s / result.seconds if result.seconds else 0.0
    rate = result.images / result.seconds if result.seconds else 0.0
    if json:
        output.json(
            {
                "name": result.name,
                "folder": str(result.folder),
                "dimension": result.dimension,
                "weights": result.weights,
                "device": result.device,
                "buckets": list(result.buckets),
                "written": list(result.written),
                "images": result.images,
                "cached": result.cached,
                "seconds": round(result.seconds, 3),
                "images_per_second": round(rate, 1),
                "waiting_for_images": round(waiting, 3),
                "compiling_seconds": round(result.compiling_s, 3),
                "official": [str(folder) for folder in result.official],
            }
        )
        return
    output.stdout.print(
        f"{result.folder}: {result.dimension} numbers per image in {counted(len(result.buckets), 'bucket')}"
    )
    for folder in result.official:
        output.stdout.print(f"{folder}: the same by class and id")
    if not result.written and not result.official:
        output.stdout.print("nothing to do: all features are up to date")
    if not result.written:
        return
    output.stdout.print(
        f"{counted(result.images, 'image')} in {duration(result.seconds)}: {rate:,.0f} images/s, "
        f"{percent(waiting)} % of the time waiting for images{_advice(waiting, result.workers)}"
        + (f", {duration(result.compiling_s)} of it compiling" if compile_ else "")
    )
    output.next_command("train", "own_data_feature", *in_dataset(root), "--set", f"scenario.feature_type={result.name}")


def _advice(waiting: float, workers: int) -> str:
    """Advice for a network that waits for images."""
    return f" (more --workers than {workers} may help)" if waiting > 0.2 else ""
