# Linear discriminant analysis in whole batches: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/batch_slda.py"]

name = "SLDA"
work_dir = "./work_dirs/foundation/streaming_slda"
