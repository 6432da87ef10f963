"""Whether W&B has a login on this machine, without asking a network."""

import netrc
import os


def logged_in() -> bool:
    """Whether there is a key in $WANDB_API_KEY, in W&B's settings, or for its host in the user's .netrc."""
    import wandb  # here, since it takes longer than the rest of a run's start

    return bool(os.environ.get("WANDB_API_KEY") or wandb.Settings().api_key) or _in_netrc()


def _in_netrc() -> bool:
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
