"""What leaves AXL: checkpoints made ready to be handed on."""
