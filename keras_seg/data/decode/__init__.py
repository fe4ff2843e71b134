"""Image files and label PNGs -> arrays, in TensorFlow ops."""
