"""One short file for each technique: a recipe on top of `Model.gradient`, not a system."""
