# SGD on the features of a foundation model, whose squared length is some hundreds: far more than that of the published
# features, so that their learning rate of 1 would not come to rest.
_base_ = ["feature_training.py"]
cl_strategy = dict(optimizer=dict(lr=0.01))
