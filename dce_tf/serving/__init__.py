"""What answers requests: a REST and gRPC server, its page and a client."""
