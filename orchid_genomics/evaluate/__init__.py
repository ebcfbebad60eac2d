"""What a trained model is worth, and what it has to beat."""
