"""What watches a strategy and changes nothing: metrics, accuracies, progress."""
