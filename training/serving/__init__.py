"""What is served: adapters on all replicas of the inference service, and what they say."""
