# wrok_dir: unknown section; did you mean 'work_dir'?
_base_ = ["../../../configs/tiny.py"]
wrok_dir = "./work_dirs/x"
