# A-GEM, a memory of each bucket: CLEAR-10, features moco_b0, streaming protocol.
# Source: the papers' code, which has it with and without a reservoir. The predecessor has it with one:
# --set cl_strategy.reservoir=True
_base_ = ["../_base_/feature_grid.py", "../_base_/agem.py"]

name = "A-GEM"
work_dir = "./work_dirs/paper/agem"
