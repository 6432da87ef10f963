_base_ = ["../_base_/feature_grid.py", "../_base_/lwf.py"]

name = "LwF"
# A value for each bucket: old ones count more and more.
cl_strategy = dict(alpha=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
work_dir = "./work_dirs/paper/lwf"
