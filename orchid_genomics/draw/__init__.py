"""Pictures (matplotlib, the `draw` extra); every function takes `ax=` and returns axes, and shows no window."""

from orchid_genomics.draw.canvas import save
from orchid_genomics.draw.curves import training_curve
from orchid_genomics.draw.logo import information, logo, motif, of_letters
from orchid_genomics.draw.maps import compared, dependency, overview, points, zoomed
from orchid_genomics.draw.tracks import Track, read_track, track

__all__ = [
    "Track",
    "compared",
    "dependency",
    "information",
    "logo",
    "motif",
    "of_letters",
    "overview",
    "points",
    "read_track",
    "save",
    "track",
    "training_curve",
    "zoomed",
]
