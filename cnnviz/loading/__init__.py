"""Networks loaded: from a file, the zoo, or a live torch or Keras model, to a `cnnviz.Model`."""
