"""Draws the samples of a bucket that are held out to choose a setting. Test samples are never used."""

import torch


def held_out(y: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """[N] bool: `share` of the samples of each class of `y [N]`, drawn by `seed` alone.

    Of a class with two samples or more it is at least one, and not all; of a class with a single sample none.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(y), dtype=torch.bool)
    for target in sorted(set(y.tolist())):
        rows = torch.nonzero(y == target).flatten()
        drawn = torch.randperm(len(rows), generator=generator)
        count = min(max(round(len(rows) * share), 1), len(rows) - 1)
        chosen[rows[drawn[:count]]] = True
    return chosen
