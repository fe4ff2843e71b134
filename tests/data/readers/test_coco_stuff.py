"""The table of COCO-Stuff against the authors' list."""

import hashlib

from keras_seg import data


def test_the_table_is_the_authors_list():
    """The lines "17: cat" of labels.txt in github.com/nightrome/cocostuff.

    Without its line 0 and the 11 that occur in no map. The hash was computed from that
    file; the order of mmsegmentation's list of the 171 names is the same.
    """
    lines = [f"{value + 1}: {name}" for name, value in data.COCO_STUFF.items()]
    assert len(lines) == 171
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    expected = "da948e7fba08b3cabbe8a2b5e0b0cfc23e5d5e1b17b1fadad4bf5cb0849c8f07"
    assert digest == expected
