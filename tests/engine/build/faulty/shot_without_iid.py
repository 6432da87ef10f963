# scenario.shot: a few-shot split needs evaluation_protocol='iid'
_base_ = ["../../../configs/tiny.py"]
scenario = dict(evaluation_protocol="streaming", shot=5)
