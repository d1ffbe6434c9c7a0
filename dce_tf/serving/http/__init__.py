"""HTTP: bodies, JSON and TensorFlow Serving's REST API."""
