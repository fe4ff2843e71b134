"""What is measured: a file for each kind of work, a function for each side."""
