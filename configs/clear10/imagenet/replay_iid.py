_base_ = ["replay.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/imagenet_replay_iid"
