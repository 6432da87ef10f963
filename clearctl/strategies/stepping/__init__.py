"""What happens around a step: epochs, schedules, clipping, averages of weights, precision."""
