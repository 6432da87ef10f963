# Fine-tuning of a cosine head: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/foundation_sgd.py"]

name = "Cosine"
model = dict(head=dict(_delete_=True, type="CosineDistanceHead", num_classes=11, in_channels="features"))
cl_strategy = dict(type="Naive", optimizer=dict(lr=1.0))  # as published: the lengths of features have no effect
work_dir = "./work_dirs/foundation/streaming_cosine"
