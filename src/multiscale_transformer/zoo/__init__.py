"""Models that come with AXL: recipes by name, and the one whose weights are in the package."""
