# CLEAR-100, the workshop's archive; everything but the classes is as for CLEAR-10.
_base_ = ["clear10.py"]
scenario = dict(data_name="clear100_cvpr2022")
