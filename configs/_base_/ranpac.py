# RanPAC: ridge regression on randomly projected features, with a lambda chosen in each bucket. It needs the head of
# models/random_projection_features.py.
dialect = "clearctl"
cl_strategy = dict(type="RanPAC", ridge_lambda="validation", train_mb_size=1024, eval_mb_size=1024)
