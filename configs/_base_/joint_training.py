# All buckets at once: the stream is trained on in one go, and every row of the accuracy matrix is the same.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="JointTraining")
