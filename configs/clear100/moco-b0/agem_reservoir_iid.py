# A-GEM, one reservoir: CLEAR-100, features moco_b0, iid protocol.
_base_ = ["agem_reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear100/moco-b0_agem_reservoir_iid"
