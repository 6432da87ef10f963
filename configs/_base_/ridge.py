# Ridge regression onto one-hot labels, over all buckets so far, in one pass; no gradients, so no optimizer.
# ridge_lambda is a number, or 'validation': chosen in the first bucket, on a fifth of its training samples.
dialect = "clearctl"
cl_strategy = dict(type="Ridge", ridge_lambda="validation", train_mb_size=1024, eval_mb_size=1024)
