# loggers: found 'TextLogger', expected a list
_base_ = ["../../../configs/tiny.py"]
loggers = 'TextLogger'
