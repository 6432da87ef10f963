# Replay of one bucket: CLEAR-10, features of a foundation model, streaming protocol.
_base_ = ["../../_base_/foundation.py", "../../_base_/foundation_sgd.py"]

name = "Replay"
cl_strategy = dict(type="Replay", mem_size=3300)
work_dir = "./work_dirs/foundation/streaming_replay"
