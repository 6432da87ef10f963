_base_ = ["cumulative.py"]

name = "Cumulative (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/cumulative_iid"
