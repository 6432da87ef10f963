# Each bucket again from the first weights, without what was learned before.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="FromScratchTraining", reset_optimizer=True)
