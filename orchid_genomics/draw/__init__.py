"""Pictures and pages: every picture is a function that takes `ax=`, returns axes and opens no
window.
"""

from orchid_genomics.draw.canvas import save
from orchid_genomics.draw.curves import training_curve
from orchid_genomics.draw.gains import gains
from orchid_genomics.draw.lanes import Lane, lane, read_lane
from orchid_genomics.draw.logo import information, letter_scores, logo, motif
from orchid_genomics.draw.maps import (
    closeup,
    colour_top,
    dependency,
    letters,
    logo_pair,
    overview,
    points,
)

__all__ = [
    "Lane",
    "closeup",
    "colour_top",
    "dependency",
    "gains",
    "information",
    "lane",
    "letter_scores",
    "letters",
    "logo",
    "logo_pair",
    "motif",
    "overview",
    "points",
    "read_lane",
    "save",
    "training_curve",
]
