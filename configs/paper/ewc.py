# Source: the papers' code and the predecessor.
_base_ = ["../_base_/feature_grid.py", "../_base_/ewc_online.py"]

name = "EWC"
work_dir = "./work_dirs/paper/ewc"
