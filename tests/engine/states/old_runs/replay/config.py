cl_strategy = {
    "train_mb_size": 8,
    "eval_mb_size": 16,
    "train_epochs": 2,
    "optimizer": {"type": "SGD", "lr": 1.0, "momentum": 0.9, "weight_decay": 0.0},
    "scheduler": {"type": "StepLR", "step_size": 1, "gamma": 0.5},
    "loss": {"type": "CrossEntropyLoss", "loss_weight": 1.0},
    "plugins": [
        {"type": "EWCPlugin", "ewc_lambda": 1.0},
        {"type": "LwFPlugin", "alpha": 1.0, "temperature": 2.0},
        {"type": "GradientClipping", "max_norm": 10.0},
        {"type": "WarmUp", "steps": 3},
        {"type": "ExponentialMovingAverage", "decay": 0.9},
    ],
    "type": "Replay",
    "mem_size": 3300,
}
scenario = {"dataset_root": "/dataset", "feature_type": "blobs"}
model = {"head": {"type": "LinearClsHead", "num_classes": 3, "in_channels": 8}}
seed = 0
work_dir = "/runs"
metrics = [{"type": "accuracy_metrics", "epoch": True, "stream": True}]
loggers = [{"type": "TextLogger"}, {"type": "CSVLogger"}]
