# Replay of one bucket: CLEAR-10, features of a foundation model, 1 image per class to train on.
_base_ = ["../streaming/replay.py"]

name = "Replay (1 shot)"
scenario = dict(evaluation_protocol="iid", shot=1, seed=0)
cl_strategy = dict(mem_size=11)  # one bucket of what is trained on
work_dir = "./work_dirs/foundation/shot1_replay"
