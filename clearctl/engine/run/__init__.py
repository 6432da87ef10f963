"""What is done with what was built: train, resume, evaluate, dry run."""
