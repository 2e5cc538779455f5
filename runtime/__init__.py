"""What every shell needs and no pure package may have: configuration, service frame, Kafka clients."""
