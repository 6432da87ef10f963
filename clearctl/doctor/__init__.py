"""What clearctl needs of a machine: checks, and the one package that pip cannot install by itself.

Imports nothing, so that `python -m clearctl.doctor.mmcv_wheel` runs before anything is installed.
"""
