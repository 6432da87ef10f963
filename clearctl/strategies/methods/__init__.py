"""One method a file: the strategies and plugins that differ from Avalanche's, or that it lacks."""
