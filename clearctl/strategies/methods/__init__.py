"""Strategies and plugins that differ from Avalanche's, or that it lacks: one file per method."""
