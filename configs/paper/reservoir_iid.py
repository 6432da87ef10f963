_base_ = ["reservoir.py"]

name = "Reservoir (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/reservoir_iid"
