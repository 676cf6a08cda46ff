"""What watches an endpoint in production, and gathers what it collected. Imports digits, never the reverse."""
