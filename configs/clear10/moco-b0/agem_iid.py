# A-GEM, a memory of each bucket: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["agem.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
# One bucket of the iid protocol's training part, as in the papers' code; the predecessor has 3,300 here too.
cl_strategy = dict(patterns_per_exp=2310, sample_size=2310)
work_dir = "./work_dirs/clear10/moco-b0_agem_iid"
