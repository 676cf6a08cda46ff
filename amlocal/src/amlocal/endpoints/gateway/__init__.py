"""One process an endpoint: traffic rules, authentication, HTTP/1.1, metrics, the test console."""
