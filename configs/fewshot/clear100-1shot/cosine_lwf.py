# Learning without forgetting, cosine head: CLEAR-100, features moco_b0, iid protocol, 1 shot.
_base_ = ["../clear10-1shot/cosine_lwf.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
cl_strategy = dict(alpha=[i * 0.2 for i in range(11)])
work_dir = "./work_dirs/fewshot/clear100_1shot_cosine_lwf"
