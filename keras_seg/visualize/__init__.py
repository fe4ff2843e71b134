"""Visualize: masks over images, samples side by side, curves of a run."""

from keras_seg.palette import IGNORE_COLOR as IGNORE_COLOR
from keras_seg.palette import colorize as colorize
from keras_seg.visualize.curves import curves as curves
from keras_seg.visualize.pictures import contact_sheet as contact_sheet
from keras_seg.visualize.pictures import overlay as overlay
from keras_seg.visualize.pictures import samples as samples
from keras_seg.visualize.pictures import visible as visible
