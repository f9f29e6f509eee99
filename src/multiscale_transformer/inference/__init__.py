"""Reading and writing text with a trained model: scoring and generation."""
