"""Mistral's route for filling in the middle, which some editors speak to no other server but Codestral's."""
