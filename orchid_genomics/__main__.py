"""``python -m orchid_genomics``, also under ``torchrun -m``."""

from orchid_genomics.cli import main

if __name__ == "__main__":
    main()
