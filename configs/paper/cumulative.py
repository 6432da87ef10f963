_base_ = ["../_base_/feature_grid.py", "../_base_/cumulative.py"]

name = "Cumulative"
work_dir = "./work_dirs/paper/cumulative"
