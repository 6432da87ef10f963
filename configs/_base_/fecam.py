# FeCAM: Mahalanobis distances with a covariance for each class. It needs the head of models/fecam_features.py.
dialect = "clearctl"
cl_strategy = dict(type="FeCAM", shrink1=1.0, shrink2=1.0, covnorm=True, train_mb_size=1024, eval_mb_size=1024)
