"""The codec: transforms, integer hyper-synthesis, entropy coding, and the codec file that holds them."""
