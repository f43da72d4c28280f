"""Techniques that make pictures: fooling images, class visualizations, style transfer."""
