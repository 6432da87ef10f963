"""A small generated CLEAR-shaped stream of real images: data for every command."""
