"""A run as one HTML file that needs nothing else: pictures are drawn here, a small script makes them answer."""
