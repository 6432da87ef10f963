# checkpoint_config.intervall: checkpoint_config has no such key; did you mean 'interval'?
_base_ = ["../../../configs/tiny.py"]
checkpoint_config = dict(intervall=2)
