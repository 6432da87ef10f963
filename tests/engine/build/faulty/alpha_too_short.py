# cl_strategy.alpha: 2 values for 3 buckets: give one for each, from the first
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(type="LwF", alpha=[0.0, 1.0], temperature=2)
