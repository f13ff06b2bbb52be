"""Arrays in, numbers out: folds, leaks, significance and scores of experiments."""
