# loggers.0.type: no logger is called 'TextLoger'; did you mean 'TextLogger'?
_base_ = ["../../../configs/tiny.py"]
loggers = [dict(type="TextLoger")]
