"""Uses that type checkers must refuse: each line with an error says its kind (test_typing.py reads them)."""

from __future__ import annotations

from typing import List

import numpy as np

import cnnviz

model = cnnviz.load()
x = model.preprocess("a.png")
one: cnnviz.Attribution = cnnviz.saliency(model, ["a.png", "b.png"])  # error: assignment
many: List[cnnviz.Attribution] = cnnviz.saliency(model, "a.png")  # error: assignment
several: cnnviz.Attribution = cnnviz.grad_cam(model, "a.png", [3, 5])  # error: assignment
layers: cnnviz.Attribution = cnnviz.grad_cam(model, "a.png", layer=["relu1"])  # error: assignment
cnnviz.guided_backprop(model, 3)  # error: call-overload
cnnviz.guided_backprop(model, "a.png", rule="deconv")  # error: call-overload
cnnviz.guided_grad_cam(model, "a.png", 1.5)  # error: call-overload
cnnviz.saliency("a.png", model)  # error: call-overload
cnnviz.salincy(model, "a.png")  # error: attr-defined
cnnviz.testing.assert_predicts(model, "a.png", 3)  # error: attr-defined
cnnviz.objectives.Logits(3)  # error: attr-defined
cnnviz.objectives.Score("logits", "cat")  # error: arg-type
cnnviz.objectives.Region("logits")  # error: call-arg
cnnviz.plot.overlay("a.png")  # error: call-arg
cnnviz.bundled.draw("many")  # error: arg-type
cnnviz.load(3)  # error: arg-type
cnnviz.load(size=320)  # error: arg-type
str(model.predict(["a.png", "b.png"])[0].label)  # error: attr-defined
round(model.predict("a.png")[0].probability * 100)  # error: operator
str(model.forward(x)["logits"])  # error: call-overload
model.forward(x, "logits")  # error: call-overload
str(model.forward(x, ["logits"]).shape)  # error: attr-defined
model.gradient(x, objective=3)  # error: call-arg
model.gradient(x, 1.5)  # error: arg-type
model.gradients(x, 3)  # error: arg-type
cnnviz.fooling_image(model, "a.png", 1.5)  # error: arg-type
cnnviz.class_visualization(model)  # error: call-arg
cnnviz.style_transfer(model, ["a.png"], "b.png")  # error: arg-type
cnnviz.sanity_check(model, ["a.png"], "saliency")  # error: arg-type
cnnviz.evaluate(model, len)  # error: arg-type
cnnviz.load_result("x.npz").resume(3)  # error: union-attr
cnnviz.resume(cnnviz.saliency(model, "a.png"), model, 3)  # error: arg-type
cnnviz.testing.assert_points_into(cnnviz.saliency(model, ["a.png"]), np.ones((3, 3), bool))  # error: arg-type
