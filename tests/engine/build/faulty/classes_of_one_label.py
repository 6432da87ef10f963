# metrics.0.classes: a list is for task label 0, with scenario.task_labels='bucket' the first bucket only: leave it out
_base_ = ["../../../configs/tiny.py"]
scenario = dict(task_labels="bucket")
metrics = [dict(type="class_accuracy_metrics", stream=True, classes=[0, 2])]
