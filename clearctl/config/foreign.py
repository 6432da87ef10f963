"""Keys of mmcls's and mmcv's configs that have no meaning here, and what to write instead.

They control the training there, which clearctl's own sections do here. None is ignored: the run would differ from its
config.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_DEVICE = "give the device with --device"
_LEAVE_OUT = "clearctl has no such switch"
_LOADERS = "write the dataset in scenario, batch sizes as cl_strategy.train_mb_size and eval_mb_size"
_RESUME = "resume a run with `clearctl resume RUN_DIR`"
_EPOCHS = "write cl_strategy.train_epochs"
_SEVERAL = "start several processes with torchrun or --nproc"
_LOGGING = "write loggers=[dict(type='TextLogger')]"
_SCHEDULER = (
    "write cl_strategy.scheduler=dict(type='StepLR', step_size=30, gamma=0.1), a class of torch.optim.lr_scheduler;"
    " for a warm-up the plugin dict(type='WarmUp', steps=500)"
)
_OPTIMIZER = "write cl_strategy.optimizer=dict(type='SGD', lr=0.01, momentum=0.9)"
_CLIPPING = "for grad_clip write the plugin dict(type='GradientClipping', max_norm=35.0) into cl_strategy.plugins"
_HOOKS = "write cl_strategy.plugins; for EMAHook dict(type='ExponentialMovingAverage', decay=0.999)"
_TEST = "every bucket is tested after each; cl_strategy.eval_every tests during a bucket too"

# {key of the top level: what to write}. The second half are those of mmengine, which mmpretrain's configs have.
RUNTIME: Mapping[str, str] = {
    "optimizer": _OPTIMIZER,
    "optimizer_config": _CLIPPING,
    "lr_config": _SCHEDULER,
    "momentum_config": "write cl_strategy.scheduler=dict(type='OneCycleLR', ...), which has momentum too",
    "runner": _EPOCHS,
    "total_epochs": _EPOCHS,
    "fp16": "write precision='fp16'",
    "custom_hooks": _HOOKS,
    "resume_from": _RESUME,
    "auto_resume": _RESUME,
    "evaluation": _TEST,
    "log_config": _LOGGING,
    "log_level": _LEAVE_OUT,
    "dist_params": _SEVERAL,
    "launcher": _SEVERAL,
    "workflow": _LEAVE_OUT,
    "gpu_ids": _DEVICE,
    "device": _DEVICE,
    "cudnn_benchmark": _LEAVE_OUT,
    "find_unused_parameters": _LEAVE_OUT,
    "mp_start_method": _LEAVE_OUT,
    "opencv_num_threads": _LEAVE_OUT,
    "optim_wrapper": f"{_OPTIMIZER}; {_CLIPPING}",
    "param_scheduler": _SCHEDULER,
    "default_hooks": _HOOKS,
    "train_cfg": _EPOCHS,
    "val_cfg": _TEST,
    "test_cfg": _TEST,
    "train_dataloader": _LOADERS,
    "val_dataloader": _LOADERS,
    "test_dataloader": _LOADERS,
    "val_evaluator": "write metrics=[dict(type='accuracy_metrics', epoch=True, experience=True)]",
    "test_evaluator": "write metrics=[dict(type='accuracy_metrics', experience=True)]",
    "data_preprocessor": "write scenario.train_transform and eval_transform, with Normalize",
    "randomness": "write seed",
    "resume": _RESUME,
    "visualizer": _LOGGING,
    "vis_backends": _LOGGING,
    "env_cfg": _LEAVE_OUT,
    "auto_scale_lr": _LEAVE_OUT,
    "default_scope": _LEAVE_OUT,
}

# {key of `data`: what to write}
DATA: Mapping[str, str] = {
    "samples_per_gpu": "write cl_strategy.train_mb_size",
    "workers_per_gpu": "write data.workers",
    "train": "write the dataset in scenario, and its transforms as scenario.train_transform",
    "val": "write the dataset in scenario, and its transforms as scenario.eval_transform",
    "test": "write the dataset in scenario, and its transforms as scenario.eval_transform",
    "train_dataloader": _LOADERS,
    "val_dataloader": _LOADERS,
    "test_dataloader": _LOADERS,
    "persistent_workers": "clearctl's worker processes last one epoch",
}


def runtime_keys(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, what to write) for each top-level key that controls training in mmcls and does nothing here.

    Skips empty ones, and variables whose value is used in a section, such as
    `optimizer = dict(...)` and then `cl_strategy = dict(optimizer=optimizer)`.
    """
    for name, value in values.items():
        if name not in RUNTIME or value is None or value in ({}, [], False):
            continue
        sections = [section for other, section in values.items() if other not in RUNTIME]
        if not any(_holds(section, name, value) for section in sections):
            yield name, RUNTIME[name]


def _holds(section: Any, name: str, value: Any) -> bool:
    """Whether `value` is somewhere in a section: under `name`, or a dict or list under any key."""
    if isinstance(section, dict):
        return any(
            child == value and (key == name or isinstance(value, dict | list)) or _holds(child, name, value)
            for key, child in section.items()
        )
    return isinstance(section, list) and any(child == value or _holds(child, name, value) for child in section)
