# cl_strategy.optimizer: missing, such as optimizer=dict(type='SGD', lr=0.01)
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(optimizer=None, scheduler=None)
