# Replay of one bucket: CLEAR-10, features of a foundation model, iid protocol.
_base_ = ["../streaming/replay.py"]

name = "Replay (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
cl_strategy = dict(mem_size=2310)  # one bucket of what is trained on
work_dir = "./work_dirs/foundation/iid_replay"
