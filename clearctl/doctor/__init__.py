"""`clearctl doctor`: whether this machine can do what clearctl does, and the command for each thing that it lacks.

One module a kind of check; `diagnose` runs them all, with any library missing: libraries are imported in a process of
their own (`imports`, `probe`). Imports nothing, so that `python -m clearctl.doctor.mmcv_wheel` runs before anything is
installed.
"""
