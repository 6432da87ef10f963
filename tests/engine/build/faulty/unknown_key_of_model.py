# model.nek: model has no such key; did you mean 'neck'?
_base_ = ["../../../configs/tiny.py"]
model = dict(nek=dict(type="GlobalAveragePooling"))
