# cl_strategy.train_epoch: Naive has no argument 'train_epoch'; did you mean 'train_epochs'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(train_epoch=3)
