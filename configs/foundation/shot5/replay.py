# Replay of one bucket: CLEAR-10, features of a foundation model, 5 images per class to train on.
_base_ = ["../streaming/replay.py"]

name = "Replay (5 shot)"
scenario = dict(evaluation_protocol="iid", shot=5, seed=0)
cl_strategy = dict(mem_size=55)  # one bucket of what is trained on
work_dir = "./work_dirs/foundation/shot5_replay"
