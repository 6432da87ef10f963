# scenario.seed: no split of seed 7 in {root}/training_folder/testset_ratio_0.3: found 0, 1; run `clearctl prepare-avalanche --dataset-root {root} --test-ratio 0.3 --seeds 7`
_base_ = ["../../../configs/tiny.py"]
scenario = dict(seed=7)
