# Ridge regression: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/ridge.py"]

name = "Ridge"
work_dir = "./work_dirs/foundation/streaming_ridge"
