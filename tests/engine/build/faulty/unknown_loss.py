# cl_strategy.loss.type: no loss is called 'CrossEntropy'; did you mean 'CrossEntropyLoss'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(loss=dict(_delete_=True, type="CrossEntropy"))
