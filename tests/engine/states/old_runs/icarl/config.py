cl_strategy = {
    "type": "ICaRL",
    "memory_size": 3300,
    "fixed_memory": True,
    "train_mb_size": 8,
    "eval_mb_size": 16,
    "train_epochs": 2,
    "optimizer": {"type": "SGD", "lr": 1.0, "momentum": 0.9, "weight_decay": 0.0},
    "scheduler": {"type": "StepLR", "step_size": 60, "gamma": 0.1},
}
scenario = {"dataset_root": "/dataset", "feature_type": "blobs"}
model = {"head": {"type": "LinearClsHead", "num_classes": 3, "in_channels": 8}}
seed = 0
work_dir = "/runs"
metrics = [{"type": "accuracy_metrics", "epoch": True, "stream": True}]
loggers = [{"type": "TextLogger"}, {"type": "CSVLogger"}]
