"""The allowed ranges of numbers in a config: one table for the check and for docs/config.md.

The libraries check few of their arguments; bad values fail in the middle of a run, or give results that
mean nothing: momentum=5, p=5, temperature=0, mem_size=-1. A number without a range here only has to be finite.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, None for no bound, without the bounds themselves where they are open.

    `whole` allows integers only. `also` are additional numbers; `infinite` allows infinity.
    """

    least: float | None = None
    most: float | None = None
    open_least: bool = False
    open_most: bool = False
    whole: bool = False
    also: tuple[float, ...] = ()
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        if value in self.also:
            return True
        if not math.isfinite(value):
            return self.infinite and value == math.inf
        if self.whole and value != int(value):
            return False
        above = self.least is None or (value > self.least if self.open_least else value >= self.least)
        below = self.most is None or (value < self.most if self.open_most else value <= self.most)
        return above and below

    def __str__(self) -> str:
        what = "a whole number" if self.whole else "a number"
        if self.least is None and self.most is None and not self.whole:
            what = "a finite number"
        low = "" if self.least is None else f" {'above' if self.open_least else 'from'} {_text(self.least)}"
        high = ""
        if self.most is not None:
            to = "to" if low else "up to"
            high = (
                f"{' and' if low else ''} below {_text(self.most)}" if self.open_most else f" {to} {_text(self.most)}"
            )
        others = [*(f"{value:g}" for value in self.also), *(["infinity"] if self.infinite else [])]
        return " or ".join([f"{what}{low}{high}", *others])


def _text(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


FINITE = Range()
COUNT = Range(1, whole=True)
FROM_0 = Range(0)
ABOVE_0 = Range(0, open_least=True)
WHOLE_FROM_0 = Range(0, whole=True)
PROCESSES = Range(0, 1024, whole=True)
SHARE = Range(0, 1)  # a probability, or a weight of two
DECAY = Range(0, 1, open_most=True)  # of a running mean
LARGEST = 2**63 - 1  # the largest whole number that torch takes
SEED = Range(0, LARGEST, whole=True)  # what torch's generators take

# Arguments that strategies and the plugins of the same method share.
_OF_METHODS = {
    "mem_size": COUNT,
    "batch_size_mem": COUNT,
    "sample_size": COUNT,
    "alpha": FROM_0,
    "temperature": ABOVE_0,
    "ewc_lambda": FROM_0,
    "decay_factor": SHARE,
    "si_lambda": FROM_0,
    "eps": ABOVE_0,
    "max_importance": ABOVE_0,
    "lambda_reg": FROM_0,
    "memory_strength": FROM_0,
    "val_percentage": Range(0, 1, open_least=True, open_most=True),
    "T": ABOVE_0,
    "stage_2_epochs": WHOLE_FROM_0,
    "lamb": Range(0, 1, also=(-1,)),
    "lr": FROM_0,
}

# {kind of class: {argument: its range}}.
RANGES: Mapping[str, Mapping[str, Range]] = {
    "strategy": {
        **_OF_METHODS,
        "memory_size": COUNT,
        "patterns_per_exp": COUNT,
        "beta": FROM_0,
        "gamma": FROM_0,
        "train_mb_size": COUNT,
        "train_epochs": COUNT,
        "eval_mb_size": COUNT,
        "eval_every": Range(-1, whole=True),
        "n_inner_steps": COUNT,
        "subsample": COUNT,
        "num_classes": COUNT,
        "input_size": COUNT,
        "shrinkage_param": SHARE,
        "shrink1": FROM_0,
        "shrink2": FROM_0,
        "ridge_lambda": FROM_0,
        "lambdas": FROM_0,
        "validation_share": Range(0, 1, open_least=True, open_most=True),
        "validation_seed": WHOLE_FROM_0,
    },
    "plugin": {
        **_OF_METHODS,
        "batch_size": COUNT,
        "patterns_per_experience": COUNT,
        "patience": COUNT,
        "margin": FROM_0,
        "decay": DECAY,
        "max_norm": ABOVE_0,
        "norm_type": Range(0, open_least=True, infinite=True),
        "opt_lr": FROM_0,
        "beta_coef": SHARE,
        "decay_factor_fgsm": FROM_0,
        "epsilon_fgsm": FROM_0,
        "iter_fgsm": COUNT,
        "ewc_alpha": SHARE,
        "delta_t": COUNT,
        "steps": COUNT,
        "start_factor": Range(0, 1, open_least=True),
    },
    "buffer": {"max_size": COUNT, "alpha_value": ABOVE_0, "total_num_classes": COUNT},
    "optimizer": {
        "lr": FROM_0,
        "momentum": DECAY,
        "dampening": SHARE,
        "weight_decay": FROM_0,
        "betas": DECAY,
        "eps": FROM_0,
        "alpha": SHARE,
        "rho": SHARE,
        "lambd": FROM_0,
        "t0": FROM_0,
        "lr_decay": FROM_0,
        "initial_accumulator_value": FROM_0,
        "momentum_decay": FROM_0,
        "etas": ABOVE_0,
        "step_sizes": FROM_0,
        "d": ABOVE_0,
        "beta2_decay": Range(most=0),
        "ns_coefficients": FINITE,
        "ns_steps": COUNT,
    },
    "scheduler": {
        "factor": FROM_0,
        "total_iters": WHOLE_FROM_0,
        "last_epoch": Range(-1, whole=True),
        "T_max": COUNT,
        "eta_min": FROM_0,
        "T_0": COUNT,
        "T_mult": COUNT,
        "base_lr": FROM_0,
        "max_lr": FROM_0,
        "step_size": COUNT,
        "step_size_up": COUNT,
        "step_size_down": COUNT,
        "gamma": ABOVE_0,
        "base_momentum": DECAY,
        "max_momentum": DECAY,
        "start_factor": Range(0, 1, open_least=True),
        "end_factor": SHARE,
        "milestones": COUNT,
        "total_steps": COUNT,
        "epochs": COUNT,
        "steps_per_epoch": COUNT,
        "pct_start": SHARE,
        "div_factor": ABOVE_0,
        "final_div_factor": ABOVE_0,
        "power": FROM_0,
        "patience": WHOLE_FROM_0,
        "threshold": FROM_0,
        "cooldown": WHOLE_FROM_0,
        "min_lr": FROM_0,
        "eps": FROM_0,
    },
    "loss": {
        "gamma_pos": FROM_0,
        "gamma_neg": FROM_0,
        "clip": SHARE,
        "loss_weight": FROM_0,
        "eps": ABOVE_0,
        "class_weight": FROM_0,
        "pos_weight": FROM_0,
        "gamma": FROM_0,
        "alpha": SHARE,
        "label_smooth_val": DECAY,
        "num_classes": COUNT,
        "p": FROM_0,
        "q": FROM_0,
    },
    "head": {
        "topk": COUNT,
        "num_classes": COUNT,
        "in_channels": COUNT,
        "mid_channels": COUNT,
        "temperature": ABOVE_0,
        "hidden_dim": COUNT,
        "projection_dim": COUNT,
        "gamma": ABOVE_0,
        "tukey": ABOVE_0,
        "dropout_rate": DECAY,
    },
    "neck": {
        "p": ABOVE_0,
        "eps": ABOVE_0,
        "dim": Range(0, 2, whole=True),
        "in_channels": COUNT,
        "out_channels": COUNT,
    },
    "batch augmentation": {
        "alpha": ABOVE_0,
        "num_classes": COUNT,
        "prob": SHARE,
        "cutmix_minmax": SHARE,
        "lam_min": SHARE,
        "lam_max": SHARE,
    },
    "transform": {
        "severity": Range(1, 10, whole=True),
        "mixture_width": COUNT,
        "chain_depth": Range(1, whole=True, also=(-1,)),
        "alpha": ABOVE_0,
        "fill": FINITE,
        "size": COUNT,
        "max_size": COUNT,
        "brightness": FROM_0,
        "contrast": FROM_0,
        "saturation": FROM_0,
        "hue": Range(-0.5, 0.5),
        "sigma": ABOVE_0,
        "kernel_size": COUNT,
        "num_output_channels": Range(1, 3, whole=True),
        "padding": FINITE,
        "num_ops": WHOLE_FROM_0,
        "magnitude": WHOLE_FROM_0,
        "num_magnitude_bins": Range(2, whole=True),
        "sharpness_factor": FROM_0,
        "p": SHARE,
        "degrees": FINITE,
        "shear": FINITE,
        "value": FINITE,
        "distortion_scale": SHARE,
        "bits": Range(0, 8, whole=True),
        "scale": ABOVE_0,
        "ratio": ABOVE_0,
        "threshold": Range(0, 256),
        "mean": FINITE,
        "std": ABOVE_0,
    },
    "metric": {
        "every": ABOVE_0,
        "n_bins": COUNT,
        "n_rows": COUNT,
        "n_cols": COUNT,
        "top_k": COUNT,
        "gpu_id": WHOLE_FROM_0,
    },
}

# Classes with another meaning of the name.
OF_CLASS: Mapping[tuple[str, str], Range] = {
    ("MAS", "alpha"): SHARE,
    ("MASPlugin", "alpha"): SHARE,
    ("RandomChoice", "p"): FROM_0,  # a weight for each
}


def range_of(kind: str, name: str, argument: str) -> Range:
    """The range of an `argument` of the class `name`, of the `kind` that its registry says."""
    return OF_CLASS.get((name, argument)) or RANGES.get(kind, {}).get(argument, FINITE)


def numbers(value: Any) -> Iterator[float]:
    """The numbers in a config value: itself, or those in its lists and dicts. True and False do not count."""
    if isinstance(value, list | tuple):
        for child in value:
            yield from numbers(child)
    elif isinstance(value, dict):
        yield from numbers(list(value.values()))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def outside(value: Any, allowed: Range) -> bool:
    """Whether a number in `value` is outside the range. True, False and lists with other values are outside all."""
    no_number = allowed != FINITE and (isinstance(value, bool) or _has_others(value))
    return no_number or any(number not in allowed for number in numbers(value))


def _has_others(value: Any) -> bool:
    """Whether a list contains anything but numbers."""
    if not isinstance(value, list | tuple):
        return False
    return any(_has_others(child) or isinstance(child, bool | str | dict) for child in value)
