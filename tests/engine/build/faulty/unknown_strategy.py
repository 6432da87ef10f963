# cl_strategy.type: no strategy is called 'Naiv'; did you mean 'Naive'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(type="Naiv")
