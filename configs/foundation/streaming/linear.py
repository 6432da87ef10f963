# Fine-tuning of a linear head: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/foundation_sgd.py"]

name = "Linear"
cl_strategy = dict(type="Naive")
work_dir = "./work_dirs/foundation/streaming_linear"
