# Memory aware synapses. At this learning rate the method's usual lambda_reg, 1.0, makes the weights oscillate.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="MAS", lambda_reg=0.01, alpha=0.5)
