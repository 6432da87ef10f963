# Each bucket together with all earlier ones: CLEAR-10, features moco_b0, streaming protocol.
# Not among the published configs: an upper bound, with the settings of the others.
_base_ = ["../_base_/feature_grid.py", "../_base_/cumulative.py"]

name = "Cumulative"
work_dir = "./work_dirs/paper/cumulative"
