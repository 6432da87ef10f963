# seed: found -1, expected a whole number from 0 to 9223372036854775807
_base_ = ["../../../configs/tiny.py"]
seed = -1
