# model.freeze: found 'backbones', expected 'backbone' or 'neck' or 'head'; did you mean 'backbone'?
_base_ = ["../../../configs/tiny.py"]
model = dict(freeze=["backbones"])
