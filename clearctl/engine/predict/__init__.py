"""A trained network used on images of one's own, and written to a file that others read."""
