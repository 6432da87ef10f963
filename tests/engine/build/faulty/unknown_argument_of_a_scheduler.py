# cl_strategy.scheduler.gama: StepLR has no argument 'gama'; did you mean 'gamma'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(scheduler=dict(gama=0.5))
