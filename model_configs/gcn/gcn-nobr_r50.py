"""GCN without boundary refinement on a ResNet-50 (Peng et al., arXiv 1703.02719, Table 5, second row)."""

_base_ = "./gcn_r50.py"

model = dict(decode_head=dict(boundary_refinement=False))
