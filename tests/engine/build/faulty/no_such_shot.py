# scenario.shot: no split of seed 0 in {root}/training_folder/5_shot: found none; run `clearctl make-fewshot --dataset-root {root} --shot 5 --seed 0`
_base_ = ["../../../configs/tiny.py"]
scenario = dict(shot=5)
