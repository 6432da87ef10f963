# Biased reservoir: CLEAR-10, features moco_b0, streaming protocol.
# Source: the predecessor (Dynamic 1.0, the model is not reset). The papers' code has Dynamic 1.0 and Fixed 0.2, with
# reset=True. With Dynamic 1.0 and a memory of one bucket, only the newest bucket is kept.
_base_ = ["../_base_/feature_grid.py", "../_base_/biased_reservoir.py"]

name = "Biased reservoir"
cl_strategy = dict(buffer=dict(alpha_mode="Dynamic", alpha_value=1.0))
work_dir = "./work_dirs/paper/biased_reservoir"
