# cl_strategy.ewc_lambda: Naive has no argument 'ewc_lambda'
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(ewc_lambda=0.4)
