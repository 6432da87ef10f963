"""The parts of `rebuild`: conditions (`where`) over `fields`, a user-defined function (`process`), the `plan`."""
