# model.head.type: head 'MultiLabelLinearClsHead' cannot be used: it predicts several labels an image, and CLEAR has one
_base_ = ["../../../configs/tiny.py"]
model = dict(head=dict(type="MultiLabelLinearClsHead"))
