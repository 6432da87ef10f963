# Linear discriminant analysis of all buckets so far, exact and in whole batches; StreamingLDA takes sample by sample.
dialect = "clearctl"
cl_strategy = dict(type="BatchSLDA", shrinkage_param=1e-4, train_mb_size=1024, eval_mb_size=1024)
