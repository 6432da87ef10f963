# metrics.0.epochs: accuracy_metrics has no argument 'epochs'; did you mean 'epoch'?
_base_ = ["../../../configs/tiny.py"]
metrics = [dict(type="accuracy_metrics", epochs=True)]
