# seed: found -1, expected a whole number from 0
_base_ = ["../../../configs/tiny.py"]
seed = -1
