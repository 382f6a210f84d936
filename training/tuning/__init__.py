"""Fine-tuning: from conversations to an adapter. `training.lora` and `training.dpo` run it."""
