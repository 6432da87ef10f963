# scenario.evaluation_protocol: found 'stream', expected 'streaming' or 'iid'; did you mean 'streaming'?
_base_ = ["../../../configs/tiny.py"]
scenario = dict(evaluation_protocol="stream")
