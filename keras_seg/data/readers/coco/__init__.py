"""MS COCO's annotations as masks of classes."""
