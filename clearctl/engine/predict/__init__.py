"""A trained network used on your own images, and written to a file that others read."""
