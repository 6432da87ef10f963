_base_ = ["agem.py"]

name = "A-GEM (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/agem_iid"
