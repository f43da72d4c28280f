"""Pictures read, fitted and normalised: from a path or an array to the N,C,H,W that a network is fed."""

from __future__ import annotations

from cnnviz.pictures.preprocessing import Preprocessing

__all__ = ["Preprocessing"]
