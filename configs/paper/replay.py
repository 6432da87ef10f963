# Replay: CLEAR-10, features moco_b0, streaming protocol.
# Source: the papers' code and the predecessor. A memory of one bucket.
_base_ = ["../_base_/feature_grid.py", "../_base_/replay.py"]

name = "Replay"
work_dir = "./work_dirs/paper/replay"
