"""fastpunet: thousands of segmentation hypotheses per image from a Probabilistic U-Net, in one U-Net pass."""
