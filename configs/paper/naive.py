# Fine-tuning: CLEAR-10, features moco_b0, streaming protocol.
# Source: the papers' code and the predecessor.
_base_ = ["../_base_/feature_grid.py", "../_base_/finetune.py"]

name = "Naive"
work_dir = "./work_dirs/paper/naive"
