# cl_strategy.optimizer.lr: found 'fast', expected float or int
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(optimizer=dict(lr="fast"))
