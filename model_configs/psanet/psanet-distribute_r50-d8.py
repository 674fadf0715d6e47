"""PSANet's distribute branch alone, in which every position gives to all others (Zhao et al., ECCV 2018)."""

_base_ = "./psanet_r50-d8.py"

model = dict(decode_head=dict(psa_type="distribute"))
