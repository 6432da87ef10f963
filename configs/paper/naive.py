# Source: the papers' code and the predecessor.
_base_ = ["../_base_/feature_grid.py", "../_base_/finetune.py"]

name = "Naive"
work_dir = "./work_dirs/paper/naive"
