_base_ = ["../_base_/feature_grid.py", "../_base_/agem.py"]

name = "A-GEM"
work_dir = "./work_dirs/paper/agem"
