"""`cl_strategy.eval_every_steps`: the anytime accuracy of a strategy that sees each sample of the stream once."""

from collections.abc import Collection, Mapping
from typing import Any

from clearctl.config.findings import Findings
from clearctl.config.keys import EVERY_STRATEGY
from clearctl.config.own import is_own
from clearctl.config.plugins import plugin_entries
from clearctl.config.ranges import COUNT

KEY = "eval_every_steps"
_LEARNS = {
    "buckets so far": "learns from all buckets so far at each bucket",
    "stream": "learns from the whole stream at once",
    "memory": "learns only from its memory, at the end of a bucket",
}


def check_online(found: Findings, key: str, section: Mapping[str, Any], accepted: Collection[str]) -> None:
    """Add to `found` why the strategy at `key`, with arguments `accepted`, cannot be tested during a bucket."""
    every = section.get(KEY)
    if every is None:
        return
    found.count(f"{key}.{KEY}", every, COUNT)
    name = str(section["type"])
    if "peval_mode" not in accepted and not is_own(name):
        found.add(f"{key}.{KEY}", f"{name} is tested only between buckets, not between steps: leave it out")
        return
    epochs = section.get("train_epochs", EVERY_STRATEGY["train_epochs"].default)
    if epochs != 1:
        text = f"found {epochs!r}, but {KEY} is for online learning, which sees each sample once: give 1"
        found.add(f"{key}.train_epochs", text)
    for entry in (section, *(entry for _, entry in plugin_entries(section))):
        kind = entry.get("type")
        traits = found.traits_of(kind)
        if traits.learns in _LEARNS:
            found.add(f"{key}.{KEY}", f"{kind} {_LEARNS[traits.learns]}, not online: leave it out")
        elif traits.splits_buckets:
            found.add(
                f"{key}.{KEY}",
                f"{kind} holds out samples of each bucket, not online: leave it out",
            )
        elif kind == "RARPlugin" and entry.get("batch_size_mem") not in (None, section.get("train_mb_size")):
            text = (
                "RARPlugin takes batch_size_mem samples of a bucket for each step: give it the value of train_mb_size"
            )
            found.add(f"{key}.{KEY}", text)
