"""Training: what `fit` lacks, and the folder of a run."""
