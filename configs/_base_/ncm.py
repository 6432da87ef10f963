# Nearest class mean: the means of the features over all buckets so far as the head's weights, in one pass.
dialect = "clearctl"
cl_strategy = dict(type="NCM", train_mb_size=1024, eval_mb_size=1024)
