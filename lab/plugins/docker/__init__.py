"""The stand-in for pulumi-resource-docker 5.2.0."""
