# Deep streaming LDA, in one pass; no gradients, so no optimizer. The sizes are filled in from the head.
dialect = "clearctl"
cl_strategy = dict(
    type="StreamingLDA", shrinkage_param=1e-4, streaming_update_sigma=True, train_mb_size=256, eval_mb_size=256
)
