"""gRPC: TensorFlow Serving's services."""
