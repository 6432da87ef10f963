# Nearest class mean: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/ncm.py"]

name = "NCM"
work_dir = "./work_dirs/foundation/streaming_ncm"
