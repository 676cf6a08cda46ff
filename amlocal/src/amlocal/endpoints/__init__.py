"""Online endpoints: a supervisor, a gateway for each endpoint, and workers that run the scoring scripts."""
