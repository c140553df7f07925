"""The stages of the worker's stream, in the order in which results keep the times that they took."""

STAGES = ("read", "decode", "model", "measure", "encode", "write")
