# scenario.buckets: the dataset has no bucket '11': it has 0, 1, 2
_base_ = ["../../../configs/tiny.py"]
scenario = dict(buckets=["0", "11"])
