# cl_strategy.train_mb_size: found 2, but with scenario.task_labels='bucket' a batch of Cumulative has samples of each of 3 buckets: give 3 or more
_base_ = ["../../../configs/tiny.py"]
scenario = dict(task_labels="bucket")
cl_strategy = dict(type="Cumulative", train_mb_size=2)
