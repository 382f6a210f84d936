"""Fine-tuning: from conversations to an adapter. `training.lora` runs it."""
