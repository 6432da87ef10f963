"""A small CLEAR-shaped stream of real images, made on the spot: something for every command to run on."""
