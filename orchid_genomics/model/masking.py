"""How the targets of masked-letter training are shown, which decides what a letter in sight says.

The trap: what a model says of a letter that it sees depends on these shares (`Reader.unmasking`),
so they go with the model, in its provenance.
"""

from dataclasses import dataclass

from orchid_genomics.model.provenance import Provenance


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
        """Whether letters in sight can be corrected for what training showed."""
        return min(self.kept, self.other) >= 1e-6

    @classmethod
    def of(cls, provenance: Provenance) -> "Masking":
        """The shares of a model's last training; the defaults where its provenance does not say."""
        shares = {key: provenance.setting("objective", key) for key in ("masked", "other")}
        return cls(
            **{key: share for key, share in shares.items() if isinstance(share, float | int)}
        )
