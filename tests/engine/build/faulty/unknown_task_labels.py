# scenario.task_labels: found 'bukcet', expected 'single' or 'bucket'; did you mean 'bucket'?
_base_ = ["../../../configs/tiny.py"]
scenario = dict(task_labels="bukcet")
