"""Operations on built objects: train, resume, evaluate, dry run."""
