"""The checks of `verify`: each checks one thing, continues after errors and adds what it finds to a `Findings`."""
