"""ONNX files read and checked: bytes in, a `cnnviz.graph.graph.Graph` in the newest opset's terms out.

The onnx package only parses protobuf. Every size, tensor and external file is checked here, nothing in a
file is executed, and nothing outside the folder of the model is read.
"""
