"""Pictures and pages: every picture is a function that takes `ax=`, returns axes and opens no
window.
"""

from orchid_genomics.draw.canvas import save
from orchid_genomics.draw.curves import training_curve
from orchid_genomics.draw.gains import gains
from orchid_genomics.draw.lanes import Lane, lane, read_lane
from orchid_genomics.draw.logo import information, logo, motif, of_letters
from orchid_genomics.draw.maps import compared, dependency, overview, points, zoomed

__all__ = [
    "Lane",
    "compared",
    "dependency",
    "gains",
    "information",
    "lane",
    "logo",
    "motif",
    "of_letters",
    "overview",
    "points",
    "read_lane",
    "save",
    "training_curve",
    "zoomed",
]
