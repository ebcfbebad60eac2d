"""How the targets of masked-letter training are shown, which decides what a letter in sight says.

The trap: what a model says of a letter that it sees depends on these shares (`Reader.unmasking`), so
they go with the model, in its provenance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Masking:
    """Shares of the targets shown as MASK and as another letter; the rest are shown as they are."""

    masked: float = 0.8
    other: float = 0.1

    @property
    def kept(self) -> float:
        """The share shown as they are."""
        return 1 - self.masked - self.other

    @property
    def legible(self) -> bool:
        """Whether letters in sight can be corrected for what training showed: both kinds occurred."""
        return min(self.kept, self.other) >= 1e-6

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> "Masking":
        """The shares of a model's last training; the defaults where its provenance does not say."""
        recipe = provenance.get("recipe", {}).get("objective", {})
        return cls(**{key: recipe[key] for key in ("masked", "other") if key in recipe})
