_base_ = ["reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/byol-imagenet_reservoir_iid"
