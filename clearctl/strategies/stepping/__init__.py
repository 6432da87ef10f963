"""Around a training step: epochs, schedules, clipping, averages of weights, precision."""
