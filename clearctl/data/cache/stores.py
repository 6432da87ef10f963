"""The image stores of a run: chosen and filled before training starts, and shared with later runs if on disk."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from clearctl import atomic, layout
from clearctl.data.cache.build import fill
from clearctl.data.cache.choose import Cache, CacheChoice, choose, estimate, memory_fault, writable
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore, describe, store_name
from clearctl.data.transforms import TransformStages
from clearctl.errors import DatasetError
from clearctl.progress import Listener, Message, ignore


def cache_folders(root: Path, cache_dir: Path | str | None = None) -> list[Path]:
    """The folders of the decoded images of the dataset `root`: read from all of them, written to the last.

    In the dataset folder itself; where that cannot be written, in the user's cache folder too, if there is a home.
    There, and in a `cache_dir` that is named, each dataset has its own folder, by name and path: another may have
    other images of one name.
    """
    inside = layout.image_cache_folder(root)
    if cache_dir is not None:
        return [_of_dataset(root, Path(cache_dir))]
    if writable(inside):
        return [inside]
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return [inside]
    return [inside, _of_dataset(root, home / "clearctl" / "images")]


def _of_dataset(root: Path, folder: Path) -> Path:
    resolved = root.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]
    return folder.resolve() / f"{resolved.name}-{digest}"


def open_stores(
    files: ImageFiles,
    splits: Mapping[str, TransformStages],
    *,
    wanted: Mapping[str, Iterable[int]] | None = None,
    cache: Cache = "auto",
    cache_dir: Path | str | None = None,
    listener: Listener = ignore,
) -> dict[str, ImageStore]:
    """A store over `files` for each of `splits` (for example "train_transform"), filled as `cache` says.

    `wanted` has the numbers of the images that each is to hold, by default all; others are decoded at every use.
    `cache_dir` is an absolute path.
    All is chosen, and said, before anything is written. A store that nothing is put into decodes at every use, so that
    `CachedTransform` works over each of them. Pipelines with the same leading transforms share one store.
    Raises what `choose` and `fill` raise; with `auto` a store that cannot be written continues in memory, or as it is.
    """
    folders = cache_folders(files.root, cache_dir) if cache in ("auto", "disk") else []
    stores: dict[str, ImageStore] = {}
    names: dict[str, list[str]] = {}
    for name, split in splits.items():
        if split.refusal:
            if cache != "off":
                listener(Message(f"{name}: images are decoded at every use, since {split.refusal}", warning=True))
            stores[name] = ImageStore(files, ())
            continue
        names.setdefault(store_name(split.leading), []).append(name)
    for key, group in names.items():
        numbers = None if wanted is None else set().union(*(wanted[name] for name in group))
        where = [folder / key for folder in folders]
        last = where.pop() if where else None
        store = ImageStore(files, splits[group[0]].leading, last, listener, numbers, also=where)
        stores.update(dict.fromkeys(group, store))
    if cache == "off":
        return stores
    asked = {" and ".join(group): stores[group[0]] for group in names.values() if stores[group[0]].num_wanted}
    for name, choice in _choose(asked, cache, folders[-1] if folders else None, listener).items():
        _fill(asked[name], choice, name, cache, listener)
    return stores


def _choose(
    stores: Mapping[str, ImageStore], cache: Cache, folder: Path | None, listener: Listener
) -> dict[str, CacheChoice]:
    """What `choose` says of each store, given what it said of those before."""
    promised = {"disk": 0, "ram": 0, "off": 0}
    choices = {}
    for name, store in stores.items():
        choice = choose(
            store, cache, folder, disk_promised_bytes=promised["disk"], memory_promised_bytes=promised["ram"]
        )
        promised[choice.cache] += choice.need_bytes
        listener(Message(f"{name}: {choice.text}"))
        choices[name] = choice
    return choices


def _fill(store: ImageStore, choice: CacheChoice, name: str, cache: Cache, listener: Listener) -> None:
    """Put into `store` what was chosen; with `auto`, elsewhere or nowhere if the disk fails."""
    if choice.cache == "off" or not store.missing():
        return
    work = "decode images"
    try:
        if choice.cache == "disk":
            _make_folder(store)
        on_disk = choice.cache == "disk"
        fill(store, on_disk=on_disk, image_bytes=choice.image_bytes, work=work, listener=listener)
    except OSError as error:
        fault = f"{store.folder} cannot be used: {error.strerror or error}"
        if cache != "auto":
            raise DatasetError(f"{fault}\nset data.cache_dir to another folder, or use data.cache='auto'") from None
        image_bytes, need_bytes = estimate(store)
        kept = not memory_fault(need_bytes)
        where = "kept in memory" if kept else "decoded at every use"
        listener(Message(f"{name}: {fault}; {len(store.missing()):,} images are {where}", warning=True))
        if kept:
            fill(store, on_disk=False, image_bytes=image_bytes, work=work, listener=listener)


def _make_folder(store: ImageStore) -> None:
    """The folder of `store`, with a note of what it holds, and nothing of killed builders. Raises OSError."""
    assert store.folder is not None
    store.folder.mkdir(parents=True, exist_ok=True)
    note = store.folder / "transforms.json"
    if not note.exists():
        about = "images decoded once by clearctl: this folder may be removed when no run uses it"
        atomic.write_json(note, {"about": about, **describe(store.leading)})
    atomic.remove_stale(store.folder)
