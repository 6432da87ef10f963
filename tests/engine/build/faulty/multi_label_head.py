# model.head.type: head 'MultiLabelLinearClsHead' cannot be used: it predicts several labels per image; CLEAR has one
_base_ = ["../../../configs/tiny.py"]
model = dict(head=dict(type="MultiLabelLinearClsHead"))
