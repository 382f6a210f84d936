"""A model's weights on a disk: merged, quantized, and looked over before and after."""
