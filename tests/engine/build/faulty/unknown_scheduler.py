# cl_strategy.scheduler.type: no scheduler is called 'StepRL'; did you mean 'StepLR'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(scheduler=dict(_delete_=True, type="StepRL", step_size=1))
