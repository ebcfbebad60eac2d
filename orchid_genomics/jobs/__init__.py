"""What every job over a file is: read in blocks, killed and resumed, split and merged."""
