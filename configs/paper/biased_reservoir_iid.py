_base_ = ["biased_reservoir.py"]

name = "Biased reservoir (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/biased_reservoir_iid"
