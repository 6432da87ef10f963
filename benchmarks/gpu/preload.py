"""Imports the libraries in the process that every part is forked from, as a sweep does before it forks its runs."""

from clearctl.sweep.worker_pool import import_libraries

import_libraries()
