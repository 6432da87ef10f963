# A-GEM, a memory of each bucket: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["agem.py"]

name = "A-GEM (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
cl_strategy = dict(
    patterns_per_exp=2310, sample_size=2310
)  # one bucket of the training part, as in the papers' code; the predecessor has 3,300
work_dir = "./work_dirs/paper/agem_iid"
