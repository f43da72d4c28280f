"""The network as a graph of ONNX nodes: types, schemas of operators, and rewriting into a simpler graph.

Nothing here computes with the core: a rewrite takes an immutable graph and returns another one.
"""
