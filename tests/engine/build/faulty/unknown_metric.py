# metrics.0.type: no metric is called 'acuracy_metrics'; did you mean 'accuracy_metrics'?
_base_ = ["../../../configs/tiny.py"]
metrics = [dict(type="acuracy_metrics")]
