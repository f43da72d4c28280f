"""Objectives: scalar functions of a network's activations, with one value for each image of a batch.

An objective names the layers it reads and, given their activations, returns its value and its gradient with
respect to each of them (the cotangents that start the backward pass). Three names have a fixed meaning:
``"logits"`` is the score before a final softmax or sigmoid, ``"input"`` the preprocessed image that the
network is fed, and ``"image"``, which only the optimisation loop knows, the picture in displayed-pixel units,
RGB from 0 to 1.

Objectives combine like numbers::

    Logit(281) - 1e-3 * L2()                       # Simonyan et al. 2013, eq. 1
    Channel("fire5/concat", 12) + Channel("fire5/concat", 40)
    Neuron("fire5/concat", 12) * Probability(281)
    Score("boxes", (7, 130)) - Score("boxes", (7, 12))
"""

from cnnviz.objectives.base import IMAGE, INPUT, LOGITS, Cotangents, Objective, ObjectiveLike, Product, Sum
from cnnviz.objectives.features import Channel, Content, Direction, Gram, Layer, Neuron, gram_matrix
from cnnviz.objectives.outputs import Score, Similarity
from cnnviz.objectives.penalties import L1, L2, TotalVariation
from cnnviz.objectives.regions import Region
from cnnviz.objectives.scores import CrossEntropy, Logit, Margin, Probability, as_objective

__all__ = [
    "IMAGE",
    "INPUT",
    "L1",
    "L2",
    "LOGITS",
    "Channel",
    "Content",
    "Cotangents",
    "CrossEntropy",
    "Direction",
    "Gram",
    "Layer",
    "Logit",
    "Margin",
    "Neuron",
    "Objective",
    "ObjectiveLike",
    "Probability",
    "Product",
    "Region",
    "Score",
    "Similarity",
    "Sum",
    "TotalVariation",
    "as_objective",
    "gram_matrix",
]
