"""How fast keras_seg is beside what a user would take instead."""
