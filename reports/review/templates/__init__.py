"""Templates, style and script of the review's pages."""
