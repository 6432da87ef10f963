_base_ = ["../_base_/feature_grid.py", "../_base_/biased_reservoir.py"]

name = "Biased reservoir"
cl_strategy = dict(buffer=dict(alpha_mode="Dynamic", alpha_value=1.0))
work_dir = "./work_dirs/paper/biased_reservoir"
