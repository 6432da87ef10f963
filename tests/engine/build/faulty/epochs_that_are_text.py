# cl_strategy.train_epochs: found '70', expected int
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(train_epochs="70")
