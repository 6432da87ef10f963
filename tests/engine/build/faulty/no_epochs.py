# cl_strategy.train_epochs: found 0, expected a whole number from 1
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(train_epochs=0)
