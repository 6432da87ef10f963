_base_ = ["replay.py"]

name = "Replay (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/replay_iid"
