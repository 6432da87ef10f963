# cl_strategy.plugins.0.type: no plugin is called 'EWCPlugn'; did you mean 'EWCPlugin'?
_base_ = ["../../../configs/tiny.py"]
cl_strategy = dict(plugins=[dict(type="EWCPlugn", ewc_lambda=1.0)])
