# BiC: replay, then a correction of the scores' bias on a part of the memory.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="BiC", mem_size=3300, val_percentage=0.1, T=2, stage_2_epochs=200, lamb=-1, lr=0.1)
