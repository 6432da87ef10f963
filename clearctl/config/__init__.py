"""Configs: read (`load`), checked against what they name (`check`), names resolved (`registry`)."""
