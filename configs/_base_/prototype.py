# Class means of the features as the head's weights; cumulate=True takes them over all buckets so far.
dialect = "clearctl"
cl_strategy = dict(type="Prototype", cumulate=False, train_mb_size=256, eval_mb_size=256)
