"""The operators that `cnnviz.graph.fold` evaluates: their NumPy functions, and bounds on the results."""
