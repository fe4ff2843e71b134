"""Files of weights, of Keras and of other projects, to arrays by name."""
