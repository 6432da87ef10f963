# Biased reservoir: CLEAR-100, features moco_b0, iid protocol, 5 shot.
_base_ = ["../clear10-5shot/biased_reservoir.py"]

scenario = dict(data_name="clear100_cvpr2022")
model = dict(head=dict(num_classes=100))
cl_strategy = dict(buffer=dict(max_size=500))
work_dir = "./work_dirs/fewshot/clear100_5shot_biased_reservoir"
