"""Techniques that explain a score: a picture and a target in, a map of how much each pixel matters out."""
