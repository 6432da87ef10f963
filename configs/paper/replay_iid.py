# Replay: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["replay.py"]

name = "Replay (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
cl_strategy = dict(mem_size=2310)  # one bucket of the training part, as in the papers' code; the predecessor has 3,300
work_dir = "./work_dirs/paper/replay_iid"
