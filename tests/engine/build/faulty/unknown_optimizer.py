# cl_strategy.optimizer.type: no optimizer is called 'SDG'; did you mean 'SGD'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(optimizer=dict(_delete_=True, type="SDG", lr=0.1))
