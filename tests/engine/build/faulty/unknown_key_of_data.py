# data.worker: data has no such key; did you mean 'workers'?
_base_ = ["../../../configs/tiny.py"]
data = dict(worker=2)
