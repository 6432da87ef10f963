_base_ = ["lwf.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/moco-imagenet_lwf_iid"
