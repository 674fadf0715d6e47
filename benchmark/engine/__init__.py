"""Training and evaluation, through mmengine's Runner."""
