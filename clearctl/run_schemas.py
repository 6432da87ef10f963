"""The content of a run folder's files: the keys that every version writes; those with "?" are missing in some."""

from clearctl.schema import ANY, NUMBER, Schema

CONFIG: Schema = {
    "scenario": {"dataset_root?": str, "evaluation_protocol?": str, "feature_type?": str},
    "cl_strategy": {"type": str},
    "model?": dict,
    "custom_imports?": {"imports?": [str], "folders?": [str]},
}
ENVIRONMENT: Schema = {
    "device": str,
    "packages": {ANY: (str, None)},
    "dataset": {
        "root?": str,
        "fingerprint?": str,
        "filelists?": str,
        "features?": str,
        "class_names?": [str],
    },
    "seed": int,
    "clearctl?": str,
    "python?": str,
    "platform?": str,
    "device_name?": str,
    "torch_threads?": int,
    "processes?": int,
    "git?": str,
    "gpu?": dict,
    "graph?": bool,
    "config?": str,
    "weights?": {ANY: str},
    "extraction?": dict,
    "code?": {ANY: str},
    "stacked?": int,
    "wandb_run?": str,
    "mlflow_run?": str,
    "resumed?": [dict],
}
EVALUATION: Schema = {
    "train?": {ANY: dict},
    "test?": {ANY: dict},
    "clear_metrics?": {ANY: (*NUMBER, None)},
    "gem_metrics?": {ANY: (*NUMBER, None)},
    "untrained?": [NUMBER],
    "diverged?": {"bucket": (str, int), "epoch": (int, None), "reason": str},
    "validation?": {
        "accuracy_matrix": [[NUMBER]],
        "test": {ANY: dict},
        "clear_metrics": {ANY: (*NUMBER, None)},
        "gem_metrics": {ANY: (*NUMBER, None)},
    },
    "anytime?": [{"bucket": int, "step": int, "samples_seen": int, "accuracies": [NUMBER]}],
}
SELECTION: Schema = {
    "metric": str,
    "first": (int, None),
    "chosen": str,
    "tried": int,
    "seeds": int,
}
EPOCH: Schema = {
    "bucket": str,
    "bucket_number": int,
    "epoch": int,
    "num_epochs": int,
    "seconds": NUMBER,
    "loss": (*NUMBER, None),
    "accuracy": (*NUMBER, None),
    "lr?": NUMBER,
}
