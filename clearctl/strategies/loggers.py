"""Avalanche's loggers, as a config names them, mended where they break or would draw through clearctl's progress."""

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import wandb
from avalanche.logging import TextLogger as AvalancheTextLogger
from avalanche.logging import WandBLogger as AvalancheWandBLogger


class TextLogger(AvalancheTextLogger):
    """Metric values as text lines, appended to `file` (by default log.txt of the run folder)."""

    def __init__(self, file: str | None = None) -> None:
        assert file is not None, "the builder fills in the run folder's log.txt"
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file=open(file, "a", buffering=1, encoding="utf-8"))  # noqa: SIM115 closed by close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class _CurrentStderr:
    """Writes to whatever sys.stderr is at that moment, so that a live display can put the lines above itself."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class InteractiveLogger(AvalancheTextLogger):
    """Metric values as text lines on stderr. Avalanche's own draws a tqdm bar as well; the progress here is rich's."""

    def __init__(self) -> None:
        super().__init__(file=_CurrentStderr())


class WandBLogger(AvalancheWandBLogger):
    """Avalanche's W&B logger, made to work with today's wandb.

    - It names `wandb.viz.CustomChart`, which has moved to `wandb.plot`, and `wandb.util.generate_id`, which is gone.
    - Without a login it works offline instead of asking on the terminal; `offline_reason` then says why.
    """

    def __init__(
        self,
        project_name: str = "Avalanche",
        run_name: str = "Test",
        log_artifacts: bool = False,
        save_code: bool = False,
        dir: str | None = None,
        config: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        params = {"settings": wandb.Settings(silent=True, console="off"), **(params or {})}
        params.setdefault("id", os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:8])
        self.offline_reason: str | None = None
        if "mode" not in params and not os.environ.get("WANDB_MODE") and not _logged_in():
            params["mode"] = "offline"
            self.offline_reason = "W&B has no login here, so this run is kept offline; `wandb sync` uploads it later"
        super().__init__(
            project_name=project_name,
            run_name=run_name,
            log_artifacts=log_artifacts,
            save_code=save_code,
            dir=dir,
            config=config,
            params=params,
        )

    def import_wandb(self) -> None:
        """Give the base class a wandb that has the name it looks for."""
        if not hasattr(wandb, "viz"):
            setattr(wandb, "viz", wandb.plot)  # noqa: B010 a name that wandb's types do not know
        self.wandb = wandb

    def log_summary(self, numbers: dict[str, float], matrix: Any, bucket_names: list[str]) -> None:
        """The CLEAR and GEM numbers, and the accuracy matrix [N, N] as a table, at the end of a run."""
        rows = [[name, *row] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
        table = wandb.Table(columns=["trained to bucket", *bucket_names], data=rows)
        if wandb.run is not None:
            wandb.run.summary.update(numbers)
        wandb.log({"accuracy_matrix": table, **numbers})

    def close(self) -> None:
        """End the W&B run."""
        wandb.finish()


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    return bool(wandb.Settings().api_key) or _in_netrc()


def _in_netrc() -> bool:
    import netrc

    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
