_base_ = ["biased_reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/image-res18_biased_reservoir_iid"
