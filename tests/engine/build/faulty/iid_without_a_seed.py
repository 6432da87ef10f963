# scenario.seed: the iid protocol needs the seed of a split, such as seed=0
_base_ = ["../../../configs/tiny.py"]
scenario = dict(seed=None)
