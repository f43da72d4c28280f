"""Loading: a file, a name of the zoo, or a live torch or Keras model becomes a `cnnviz.Model`."""
