"""What an operator sees of the server: names of requests, log lines and traces."""
