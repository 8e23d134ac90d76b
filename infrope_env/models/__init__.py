"""A model by name: world folders and released Wan generators."""
