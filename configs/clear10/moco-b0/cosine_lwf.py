# Learning without forgetting, cosine head: CLEAR-10, features moco_b0, streaming protocol.
_base_ = ["lwf.py"]

model = dict(head=dict(type="CosineDistanceHead"))
work_dir = "./work_dirs/clear10/moco-b0_cosine_lwf"
