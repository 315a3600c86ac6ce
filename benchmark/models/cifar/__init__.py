"""The 22 CIFAR networks of the CRD benchmark, a family a module.

Parameter names, shapes and their order follow the benchmark's published teachers, so that those checkpoints
load strictly. Each takes one image batch [B, C, H, W] of any channel count and size; at 3x32x32 it is the
published network.
"""
